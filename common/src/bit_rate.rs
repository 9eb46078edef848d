//! How fast something may be sent, as people write it: `50Mbit`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Slower is of no use: a single piece would take minutes.
const LEAST: u64 = 100_000;
const UNITS: [(&str, u64); 3] = [
    ("Gbit", 1_000_000_000),
    ("Mbit", 1_000_000),
    ("kbit", 1_000),
];

/// Bits in a second: at least 100 kbit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BitRate(u64);

impl BitRate {
    /// Returns the rate in bytes a second.
    pub const fn bytes_per_second(self) -> u64 {
        self.0 / 8
    }
}

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, unit): &&(&str, u64)| self.0.is_multiple_of(*unit);
        let (name, unit) = UNITS.iter().find(whole).unwrap_or(&("bit", 1));
        f.pad(&format!("{}{name}", self.0 / unit))
    }
}

impl FromStr for BitRate {
    type Err = InvalidBitRate;

    fn from_str(text: &str) -> Result<Self, InvalidBitRate> {
        let invalid = || InvalidBitRate(text.chars().take(40).collect());
        let text = text.trim();
        let text = text.strip_suffix("/s").unwrap_or(text);
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, name) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| invalid())?;
        let mut units = UNITS.iter().chain(&[("bit", 1)]);
        let unit = units.find(|(known, _)| known.eq_ignore_ascii_case(name.trim()));
        let (_, unit) = unit.ok_or_else(invalid)?;
        let bits = number.checked_mul(*unit).ok_or_else(invalid)?;
        if bits < LEAST {
            return Err(invalid());
        }
        Ok(Self(bits))
    }
}

/// The text is not a rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a rate; write 100kbit or more, as in 800kbit, 50Mbit or 1Gbit")]
pub struct InvalidBitRate(String);

impl Serialize for BitRate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BitRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_shown() {
        for (text, bytes, shown) in [
            ("50Mbit", 6_250_000, "50Mbit"),
            (" 1000 mbit/s ", 125_000_000, "1Gbit"),
            ("800kbit", 100_000, "800kbit"),
            ("100001bit", 12_500, "100001bit"),
        ] {
            let rate: BitRate = text.parse().unwrap();
            assert_eq!(rate.bytes_per_second(), bytes, "{text}");
            assert_eq!(rate.to_string(), shown);
            assert_eq!(shown.parse(), Ok(rate));
        }
        for bad in [
            "",
            "50",
            "fast",
            "0Mbit",
            "-1Mbit",
            "50MB",
            "99kbit",
            "99999999999Gbit",
        ] {
            assert!(bad.parse::<BitRate>().is_err(), "{bad}");
        }
    }
}
