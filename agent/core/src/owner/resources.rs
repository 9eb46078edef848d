//! How much is lent: percentages and GPUs, as owners write them.

use std::fmt;

use common::{resources::MAX_GPUS_PER_MACHINE, units::written_bytes::Written};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, SeqAccess, Visitor},
};

use super::keys::section;

section! {
    /// The part `resources`.
    Resources {
        "cpu_limit" => cpu_limit: Percent,
        "memory_limit" => memory_limit: Written,
        "disk_limit" => disk_limit: Written,
        "gpus" => gpus: GpuRule,
    }
}

/// A part of the whole, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u8);

impl Percent {
    /// Returns `percent`, at most 100.
    pub const fn new(percent: u8) -> Self {
        Self(if percent > 100 { 100 } else { percent })
    }

    pub const fn value(self) -> u8 {
        self.0
    }
}

/// Which GPUs are lent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum GpuRule {
    #[default]
    All,
    None,
    Only(Vec<GpuChoice>),
}

/// One GPU as an owner names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GpuChoice {
    /// In the driver's order, from 0.
    Index(usize),
    Uuid(String),
}

impl GpuRule {
    /// Returns whether the GPU with this index and identifier is lent.
    pub fn lends(&self, index: usize, uuid: &str) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Only(choices) => choices.iter().any(|choice| match choice {
                GpuChoice::Index(chosen) => *chosen == index,
                GpuChoice::Uuid(chosen) => chosen == uuid,
            }),
        }
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PercentVisitor;
        impl Visitor<'_> for PercentVisitor {
            type Value = Percent;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a percentage from 0 to 100, as in 80")
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Percent, E> {
                u8::try_from(number)
                    .ok()
                    .filter(|percent| *percent <= 100)
                    .map(Percent)
                    .ok_or_else(|| {
                        E::custom(format_args!("{number} is not a percentage from 0 to 100"))
                    })
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Percent, E> {
                let number = u64::try_from(number).map_err(|_| {
                    E::custom(format_args!("{number} is not a percentage from 0 to 100"))
                })?;
                self.visit_u64(number)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Percent, E> {
                let number = text.trim().trim_end_matches('%').trim_end();
                let number = number.parse().map_err(|_| {
                    E::custom(format_args!("{text:?} is not a percentage from 0 to 100"))
                })?;
                self.visit_u64(number)
            }
        }
        deserializer.deserialize_any(PercentVisitor)
    }
}

impl<'de> Deserialize<'de> for GpuRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RuleVisitor;
        impl<'de> Visitor<'de> for RuleVisitor {
            type Value = GpuRule;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("all, none, or a list of GPUs")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<GpuRule, E> {
                match text {
                    "all" => Ok(GpuRule::All),
                    "none" => Ok(GpuRule::None),
                    other => Err(E::custom(format_args!(
                        "{other:?} is not all, none or a list of GPUs"
                    ))),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<GpuRule, A::Error> {
                let mut choices = Vec::new();
                while let Some(choice) = seq.next_element()? {
                    if choices.len() == MAX_GPUS_PER_MACHINE {
                        return Err(A::Error::custom(format_args!(
                            "more than {MAX_GPUS_PER_MACHINE} GPUs are named"
                        )));
                    }
                    choices.push(choice);
                }
                Ok(GpuRule::Only(choices))
            }
        }
        deserializer.deserialize_any(RuleVisitor)
    }
}

impl<'de> Deserialize<'de> for GpuChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ChoiceVisitor;
        impl Visitor<'_> for ChoiceVisitor {
            type Value = GpuChoice;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a GPU's index, or its identifier as in GPU-…")
            }

            fn visit_u64<E: serde::de::Error>(self, index: u64) -> Result<GpuChoice, E> {
                usize::try_from(index)
                    .map(GpuChoice::Index)
                    .map_err(E::custom)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<GpuChoice, E> {
                Ok(text
                    .parse()
                    .map_or_else(|_| GpuChoice::Uuid(text.to_owned()), GpuChoice::Index))
            }
        }
        deserializer.deserialize_any(ChoiceVisitor)
    }
}
