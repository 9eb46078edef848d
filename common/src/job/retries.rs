//! How often a task is tried again, after what, how soon, and with how much memory.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{status::EndReason, time::Span, units::Bytes};

/// Most times a task is tried again.
pub const MAX_RETRIES: u32 = 100;
/// How long the second try waits after what the next machine may end the same way, unless the job says so.
pub const DEFAULT_BACKOFF: Span = Span::from_secs(10);
/// Longest that any try waits: what lasts longer is better looked at than waited for.
pub const MAX_BACKOFF: Span = Span::from_secs(600);
/// Factors are counted in hundredths: what people write has two places at most.
const WHOLE: u32 = 100;

/// How often a task is tried again, and after what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retries {
    /// Besides the first try.
    pub max: u32,
    pub on: Vec<EndReason>,
    /// Before the second try; doubled before each further one. `None` is [`DEFAULT_BACKOFF`].
    #[serde(default)]
    pub backoff: Option<Span>,
    /// How much more memory a try after `out_of_memory` gets than the one before, which makes that a reason to try again.
    #[serde(default)]
    pub memory: Option<MemoryFactor>,
}

impl Default for Retries {
    /// Returns three retries after anything that was done to the job rather than by it.
    fn default() -> Self {
        let on = EndReason::ALL
            .iter()
            .copied()
            .filter(|reason| reason.retried_by_default());
        Self {
            max: 3,
            on: on.collect(),
            backoff: None,
            memory: None,
        }
    }
}

impl Retries {
    /// Returns whether a task that ended so is tried again at all.
    pub fn covers(&self, reason: EndReason) -> bool {
        let more = reason == EndReason::OutOfMemory && self.memory.is_some();
        more || self.on.contains(&reason)
    }

    /// Returns how long the next try waits after `tries` that ended by what the next machine may end the same way.
    pub fn wait(&self, tries: u32) -> Span {
        let first = self.backoff.unwrap_or(DEFAULT_BACKOFF).as_duration();
        let doubled = 1u32.checked_shl(tries.saturating_sub(1));
        let wait = doubled.and_then(|times| first.checked_mul(times));
        let longest = match first {
            Duration::ZERO => Duration::ZERO,
            _ => MAX_BACKOFF.as_duration(),
        };
        Span::from(wait.unwrap_or(longest).min(longest))
    }
}

/// How many times as much memory, written `2x` or `1.5x`; always more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemoryFactor(u32);

impl MemoryFactor {
    /// The largest: from there on a job knows what it needs.
    const MOST: u32 = 16 * WHOLE;

    /// Returns that many times as much, at most what a number holds.
    pub fn of(self, memory: Bytes) -> Bytes {
        let product = u128::from(memory.0) * u128::from(self.0) / u128::from(WHOLE);
        Bytes(u64::try_from(product).unwrap_or(u64::MAX))
    }

    fn checked(hundredths: u32) -> Option<Self> {
        (WHOLE + 1..=Self::MOST)
            .contains(&hundredths)
            .then_some(Self(hundredths))
    }
}

impl fmt::Display for MemoryFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / WHOLE, self.0 % WHOLE);
        match (rest, rest % 10) {
            (0, _) => f.pad(&format!("{whole}x")),
            (_, 0) => f.pad(&format!("{whole}.{}x", rest / 10)),
            _ => f.pad(&format!("{whole}.{rest:02}x")),
        }
    }
}

impl FromStr for MemoryFactor {
    type Err = InvalidFactor;

    fn from_str(text: &str) -> Result<Self, InvalidFactor> {
        let invalid = || InvalidFactor(text.chars().take(40).collect());
        let number = text.trim().strip_suffix('x').ok_or_else(invalid)?;
        let (whole, places) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(places) || places.len() > 2 {
            return Err(invalid());
        }
        let read = |text: &str| text.parse::<u32>().map_err(|_| invalid());
        let hundredths = match places.len() {
            1 => read(places)? * 10,
            _ => read(places)?,
        };
        let whole = read(whole)?.checked_mul(WHOLE).ok_or_else(invalid)?;
        let all = whole.checked_add(hundredths);
        all.and_then(Self::checked).ok_or_else(invalid)
    }
}

/// The text is not a [`MemoryFactor`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a factor of memory; write 2x or 1.5x, more than 1x and at most 16x")]
pub struct InvalidFactor(String);

/// A text in JSON, hundredths on the wire.
impl Serialize for MemoryFactor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for MemoryFactor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(D::Error::custom)
        } else {
            let factor = Self::checked(u32::deserialize(deserializer)?);
            factor.ok_or_else(|| D::Error::custom("a factor of memory is out of bounds"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_ten_minutes() {
        let waits = |backoff: Option<u64>| {
            let retries = Retries {
                backoff: backoff.map(Span::from_secs),
                ..Retries::default()
            };
            [1, 2, 3, 7, 40, u32::MAX].map(|tries| retries.wait(tries).as_duration().as_secs())
        };
        assert_eq!(waits(None), [10, 20, 40, 600, 600, 600]);
        assert_eq!(waits(Some(30)), [30, 60, 120, 600, 600, 600]);
        assert_eq!(waits(Some(0)), [0; 6]);
        assert_eq!(waits(Some(600)), [600; 6]);
    }

    #[test]
    fn more_memory_is_a_reason_to_try_again() {
        let mut retries = Retries::default();
        assert!(!retries.covers(EndReason::OutOfMemory) && retries.covers(EndReason::MachineLost));
        retries.memory = Some("2x".parse().unwrap());
        assert!(retries.covers(EndReason::OutOfMemory) && !retries.covers(EndReason::Exited));
    }

    #[test]
    fn factors_read_what_people_write() {
        for (text, shown, gives) in [
            ("2x", "2x", 2048),
            ("1.5x", "1.5x", 1536),
            ("1.25x", "1.25x", 1280),
            ("1.05x", "1.05x", 1075),
            ("16x", "16x", 16384),
        ] {
            let factor: MemoryFactor = text.parse().unwrap();
            assert_eq!(factor.to_string(), shown);
            assert_eq!(factor.of(Bytes(1024)), Bytes(gives), "{text}");
            let json = serde_json::to_string(&factor).unwrap();
            assert_eq!(serde_json::from_str::<MemoryFactor>(&json).unwrap(), factor);
        }
        for bad in [
            "",
            "2",
            "x",
            "1x",
            "0.5x",
            "17x",
            "1.x",
            "+2x",
            "1.234x",
            "-2x",
            "9999999999x",
        ] {
            assert!(bad.parse::<MemoryFactor>().is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<MemoryFactor>("\"1x\"").is_err());
    }
}
