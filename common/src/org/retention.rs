//! For how long an org keeps what nobody keeps for themselves.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::time::{InvalidSpan, Span, Timestamp};

const DAY: u64 = 86_400;
/// In words, so that it reads the same wherever it is written.
const FOREVER: &str = "forever";

/// A span of whole seconds, or for good: `90d`, `36h`, `forever`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Retention {
    Forever,
    For(Span),
}

impl Retention {
    pub const fn days(days: u64) -> Self {
        Self::For(Span::from_secs(days * DAY))
    }

    /// Returns until when something is kept that came at `from`; `None` for what is kept for good.
    pub fn until(self, from: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Forever => None,
            Self::For(span) => Some(from.saturating_add(span.as_duration())),
        }
    }

    /// Returns whether it is a shorter time than `other`.
    pub fn is_shorter_than(self, other: Self) -> bool {
        match (self, other) {
            (Self::Forever, _) => false,
            (Self::For(_), Self::Forever) => true,
            (Self::For(this), Self::For(other)) => this < other,
        }
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] = [(DAY, "d"), (3_600, "h"), (60, "m"), (1, "s")];
        let Self::For(span) = self else {
            return f.pad(FOREVER);
        };
        let seconds = span.as_duration().as_secs();
        let whole = UNITS.iter().find(|(unit, _)| seconds % unit == 0);
        let (unit, letter) = whole.unwrap_or(&UNITS[3]);
        f.pad(&format!("{}{letter}", seconds / unit))
    }
}

impl FromStr for Retention {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        if text == FOREVER {
            return Ok(Self::Forever);
        }
        let seconds = text.parse::<Span>()?.as_duration().as_secs();
        Ok(Self::For(Span::from_secs(seconds)))
    }
}

impl TryFrom<String> for Retention {
    type Error = InvalidSpan;

    fn try_from(text: String) -> Result<Self, InvalidSpan> {
        text.parse()
    }
}

impl From<Retention> for String {
    fn from(retention: Retention) -> Self {
        retention.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_it_writes() {
        for (written, read) in [
            ("forever", "forever"),
            ("90d", "90d"),
            ("36h", "36h"),
            ("1d 1h 1m", "1501m"),
            ("86400", "1d"),
            ("0", "0d"),
            ("61s", "61s"),
        ] {
            let retention: Retention = written.parse().unwrap();
            assert_eq!(retention.to_string(), read, "{written}");
            assert_eq!(read.parse(), Ok(retention));
        }
        assert!("for ever".parse::<Retention>().is_err());
        assert!("-1d".parse::<Retention>().is_err());
    }

    #[test]
    fn for_good_is_longest_and_has_no_end() {
        let (day, week) = (Retention::days(1), Retention::days(7));
        assert!(day.is_shorter_than(week) && week.is_shorter_than(Retention::Forever));
        assert!(!week.is_shorter_than(week) && !Retention::Forever.is_shorter_than(week));
        let from = Timestamp::from_unix_ms(1000);
        assert_eq!(day.until(from), Some(Timestamp::from_unix_ms(86_401_000)));
        assert_eq!(Retention::Forever.until(from), None);
    }
}
