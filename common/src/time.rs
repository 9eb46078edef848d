//! Moments and spans. There is no `now()` here: whoever needs the time is given it.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Milliseconds since 1970-01-01 UTC by the coordinator's or agent's wall clock.
///
/// RFC 3339 in JSON, eight bytes on the wire. Never used to measure a span that matters: leases and limits
/// run on monotonic clocks in the shells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// The last moment that can be shown (end of the year 9999).
const MAX_TIMESTAMP_MS: u64 = 253_402_207_200_000;

impl Timestamp {
    pub const fn from_unix_ms(ms: u64) -> Self {
        Self(if ms > MAX_TIMESTAMP_MS {
            MAX_TIMESTAMP_MS
        } else {
            ms
        })
    }

    pub const fn unix_ms(self) -> u64 {
        self.0
    }

    /// Returns the moment `span` later, no later than the year 9999.
    pub fn saturating_add(self, span: Duration) -> Self {
        let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self::from_unix_ms(self.0.saturating_add(ms))
    }

    /// Returns how long ago `earlier` was, zero if it was not.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Returns the moment to the second, for a sentence that people read.
    pub fn to_second(self) -> String {
        format!("{:.0}", self.to_jiff())
    }

    fn to_jiff(self) -> jiff::Timestamp {
        let ms = i64::try_from(self.0).unwrap_or(i64::MAX);
        jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX)
    }
}

/// RFC 3339 in UTC.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.to_jiff())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            let moment: jiff::Timestamp = text.parse().map_err(D::Error::custom)?;
            Ok(Self::from_unix_ms(
                u64::try_from(moment.as_millisecond()).unwrap_or(0),
            ))
        } else {
            u64::deserialize(deserializer).map(Self::from_unix_ms)
        }
    }
}

/// A span that people write: `30s`, `2h`, `1h 30m`, or a bare number of seconds.
///
/// In JSON a number of seconds, as in the org's limits file; milliseconds on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(Duration);

/// Longest span: a hundred years, far from any overflow.
pub const MAX_SPAN: Duration = Duration::from_secs(100 * 366 * 86_400);

impl Span {
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    pub const fn from_millis(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    pub const fn as_duration(self) -> Duration {
        self.0
    }

    fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration.min(MAX_SPAN))
    }
}

/// At most the two largest units: `2h 5m`, `3d`, `250ms`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
        let seconds = self.0.as_secs();
        if seconds == 0 {
            return f.pad(&if self.0.is_zero() {
                "0s".to_owned()
            } else {
                format!("{}ms", self.0.as_millis())
            });
        }
        let first = UNITS
            .iter()
            .position(|(unit, _)| seconds >= *unit)
            .unwrap_or(3);
        let (unit, letter) = UNITS[first];
        let mut text = format!("{}{letter}", seconds / unit);
        if let Some((next, letter)) = UNITS
            .get(first + 1)
            .filter(|(next, _)| seconds % unit >= *next)
        {
            text += &format!(" {}{letter}", seconds % unit / next);
        }
        f.pad(&text)
    }
}

impl FromStr for Span {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        let text = text.trim();
        if let Ok(seconds) = text.parse::<u64>() {
            let span = Duration::from_secs(seconds);
            return if span > MAX_SPAN {
                Err(InvalidSpan::TooLong)
            } else {
                Ok(Self(span))
            };
        }
        if let Some(span) = with_days(text) {
            return span;
        }
        let parsed: jiff::SignedDuration = text
            .parse()
            .map_err(|_| InvalidSpan::Syntax(text.chars().take(40).collect()))?;
        let span = Duration::try_from(parsed).map_err(|_| InvalidSpan::Negative)?;
        if span > MAX_SPAN {
            Err(InvalidSpan::TooLong)
        } else {
            Ok(Self(span))
        }
    }
}

/// Reads `7d` or `1d 12h`, in days of 24 hours; `None` where the text does not begin with days.
fn with_days(text: &str) -> Option<Result<Span, InvalidSpan>> {
    let (days, rest) = text.split_once('d')?;
    let days = Duration::from_secs(days.trim_end().parse::<u64>().ok()?.checked_mul(86_400)?);
    let rest = match rest.trim() {
        "" => Duration::ZERO,
        rest => match rest.parse::<Span>() {
            Ok(rest) => rest.0,
            Err(_) => return None,
        },
    };
    Some(match days.checked_add(rest) {
        Some(span) if span <= MAX_SPAN => Ok(Span(span)),
        _ => Err(InvalidSpan::TooLong),
    })
}

/// Why a text is not a [`Span`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSpan {
    #[error("{0:?} is not a time span; write seconds or a unit, as in 90, 30s, 15m, 2h or 1h 30m")]
    Syntax(String),
    #[error("a time span cannot be negative")]
    Negative,
    #[error("a time span is at most a hundred years")]
    TooLong,
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            if self.0.subsec_millis() == 0 {
                serializer.serialize_u64(self.0.as_secs())
            } else {
                serializer.serialize_f64(self.0.as_secs_f64())
            }
        } else {
            self.as_millis().serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time span such as 90, 30s or 2h")
            }

            fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<Span, E> {
                let span = Duration::from_secs(seconds);
                if span > MAX_SPAN {
                    Err(E::custom(InvalidSpan::TooLong))
                } else {
                    Ok(Span(span))
                }
            }

            fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<Span, E> {
                let seconds =
                    u64::try_from(seconds).map_err(|_| E::custom(InvalidSpan::Negative))?;
                self.visit_u64(seconds)
            }

            fn visit_f64<E: serde::de::Error>(self, seconds: f64) -> Result<Span, E> {
                let span = Duration::try_from_secs_f64(seconds)
                    .map_err(|_| E::custom(InvalidSpan::Negative))?;
                if span > MAX_SPAN {
                    Err(E::custom(InvalidSpan::TooLong))
                } else {
                    // Long spans lose nanoseconds in a float; whole milliseconds are what went in.
                    let ms = u64::try_from((span.as_nanos() + 500_000) / 1_000_000);
                    Ok(Span(Duration::from_millis(ms.unwrap_or(u64::MAX))))
                }
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Span, E> {
                text.parse().map_err(E::custom)
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(Visitor)
        } else {
            u64::deserialize(deserializer).map(|ms| Self(Duration::from_millis(ms).min(MAX_SPAN)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn span(text: &str, shown: &str) {
        let span: Span = text.parse().unwrap();
        assert_eq!(span.to_string(), shown, "{text}");
    }

    #[test]
    fn spans_read_what_people_write() {
        span("90", "1m 30s");
        span("30s", "30s");
        span("2h", "2h");
        span("1h 30m", "1h 30m");
        span("250ms", "250ms");
        span("86400", "1d");
        span("7d", "7d");
        span("1d 12h", "1d 12h");
        span("0", "0s");
        for bad in [
            "",
            "soon",
            "2 fortnights",
            "-3h",
            "99999999999999",
            "99999999d",
            "1d soon",
            "-1d",
        ] {
            assert!(bad.parse::<Span>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn long_spans_with_milliseconds_come_back_from_json() {
        for ms in [1, 1_500, 86_400_123, 3_162_239_999_999] {
            let span = Span::from_millis(ms);
            let json = serde_json::to_string(&span).unwrap();
            assert_eq!(serde_json::from_str::<Span>(&json).unwrap(), span, "{ms}");
        }
    }

    #[test]
    fn moments_are_rfc3339_in_json_and_survive_absurd_input() {
        let moment = Timestamp::from_unix_ms(1_700_000_000_123);
        let json = serde_json::to_string(&moment).unwrap();
        assert_eq!(json, "\"2023-11-14T22:13:20.123Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), moment);
        assert!(
            Timestamp::from_unix_ms(u64::MAX)
                .to_string()
                .starts_with("9999-")
        );
        assert_eq!(
            Timestamp::from_unix_ms(5).since(Timestamp::from_unix_ms(9)),
            Duration::ZERO
        );
    }
}
