//! How much of the pool somebody should have beside others.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::units::MilliCpu;

/// A factor in steps of a thousandth: who has twice the weight of another comes first until they have used twice as
/// much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight(u32);

impl Weight {
    pub const ONE: Self = Self(1000);
    /// More would only say that others never come first.
    pub const MOST: Self = Self(1_000_000);

    /// Returns the weight of so many thousandths, from 0.001 to [`Weight::MOST`].
    pub const fn thousandths(thousandths: u32) -> Option<Self> {
        if thousandths == 0 || thousandths > Self::MOST.0 {
            None
        } else {
            Some(Self(thousandths))
        }
    }

    /// Returns `amount` divided by the weight.
    pub fn of(self, amount: u64) -> u64 {
        if self == Self::ONE {
            return amount;
        }
        let divided = u128::from(amount) * 1000 / u128::from(self.0);
        u64::try_from(divided).unwrap_or(u64::MAX)
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        MilliCpu(self.0).fmt(f)
    }
}

impl FromStr for Weight {
    type Err = InvalidWeight;

    fn from_str(text: &str) -> Result<Self, InvalidWeight> {
        // The same digits as of processors.
        let thousandths = text.parse::<MilliCpu>().ok();
        let weight = thousandths.and_then(|thousandths| Self::thousandths(thousandths.0));
        weight.ok_or_else(|| InvalidWeight(text.chars().take(40).collect()))
    }
}

/// The text is not a weight.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a weight; write 2 or 0.5, from 0.001 to {most}", most = Weight::MOST)]
pub struct InvalidWeight(String);

impl Serialize for Weight {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        MilliCpu(self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Weight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let MilliCpu(thousandths) = MilliCpu::deserialize(deserializer)?;
        Self::thousandths(thousandths)
            .ok_or_else(|| serde::de::Error::custom("a weight is from 0.001 to 1000"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_read_what_people_write() {
        for (text, expect) in [
            ("2", Some("2")),
            ("0.5", Some("0.5")),
            ("1000", Some("1000")),
            ("0.001", Some("0.001")),
            ("0", None),
            ("1001", None),
            ("-1", None),
            ("NaN", None),
            ("1e3", None),
            ("", None),
        ] {
            let weight = text.parse::<Weight>().ok().map(|weight| weight.to_string());
            assert_eq!(weight.as_deref(), expect, "{text:?}");
        }
        let weight = Weight::thousandths(500).unwrap();
        assert_eq!(serde_json::to_string(&weight).unwrap(), "0.5");
        assert_eq!(serde_json::from_str::<Weight>("0.5").unwrap(), weight);
        assert!(serde_json::from_str::<Weight>("0").is_err());
    }

    #[test]
    fn twice_the_weight_halves_what_was_used() {
        assert_eq!(Weight::ONE.of(7), 7);
        assert_eq!(Weight::thousandths(2000).unwrap().of(7), 3);
        assert_eq!(Weight::thousandths(1).unwrap().of(u64::MAX), u64::MAX);
    }
}
