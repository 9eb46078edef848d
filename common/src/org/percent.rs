//! Parts of a whole that orgs set.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A part of a whole, from 0 to 100 %.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Percent(u8);

impl Percent {
    /// Returns that part of an amount.
    pub const fn of(self, amount: u64) -> u64 {
        // Both parts stay below the amount.
        amount / 100 * self.0 as u64 + amount % 100 * self.0 as u64 / 100
    }
}

impl TryFrom<u8> for Percent {
    type Error = InvalidPercent;

    fn try_from(percent: u8) -> Result<Self, InvalidPercent> {
        match percent {
            0..=100 => Ok(Self(percent)),
            _ => Err(InvalidPercent),
        }
    }
}

impl From<Percent> for u8 {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}

impl FromStr for Percent {
    type Err = InvalidPercent;

    fn from_str(text: &str) -> Result<Self, InvalidPercent> {
        let digits = text.strip_suffix('%').unwrap_or(text).trim_end();
        let percent = digits.parse::<u8>().map_err(|_| InvalidPercent)?;
        Self::try_from(percent)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}%", self.0))
    }
}

/// The text is no part of a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a part from 0% to 100%")]
pub struct InvalidPercent;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_read_what_people_write() {
        for (text, expect) in [
            ("50%", Some(50)),
            ("0", Some(0)),
            ("100 %", Some(100)),
            ("101%", None),
            ("-1", None),
            ("NaN", None),
            ("", None),
        ] {
            let percent = text.parse::<Percent>().ok().map(u8::from);
            assert_eq!(percent, expect, "{text:?}");
        }
        assert!(serde_json::from_str::<Percent>("101").is_err());
    }

    #[test]
    fn a_part_of_the_largest_amount_does_not_overflow() {
        assert_eq!(Percent(100).of(u64::MAX), u64::MAX);
        assert_eq!(Percent(50).of(7), 3);
        assert_eq!(Percent(0).of(u64::MAX), 0);
    }
}
