//! The owner's rules: the file in which a machine's owner says what of it is lent. The coordinator never
//! sees it, only the [`crate::offer`] that follows from it.
//!
//! ```yaml
//! resources:
//!   cpu_limit: 80          # percent of the processors
//!   memory_limit: 16384    # MB, or 16GiB
//!   disk_limit: 200GiB
//!   gpus: all              # all | none | a list of indices or of the driver's identifiers
//! ```
//!
//! Everything may be left out; an unknown key is an error that names the nearest known one.

use std::fmt;

use common::{
    resources::MAX_GPUS_PER_MACHINE,
    units::{Bytes, written_bytes::Written},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};

/// What an owner's file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnerRules {
    pub cpu_limit: Option<Percent>,
    pub memory_limit: Option<Bytes>,
    pub disk_limit: Option<Bytes>,
    pub gpus: GpuRule,
}

/// A part of the processors, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(u8);

impl Percent {
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

impl<'de> Deserialize<'de> for OwnerRules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RulesVisitor)
    }
}

struct RulesVisitor;

impl<'de> Visitor<'de> for RulesVisitor {
    type Value = OwnerRules;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the key resources")
    }

    /// An empty file.
    fn visit_unit<E: serde::de::Error>(self) -> Result<OwnerRules, E> {
        Ok(OwnerRules::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OwnerRules, A::Error> {
        let mut rules = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "resources" if rules.is_some() => return Err(twice(&key)),
                "resources" => rules = map.next_value::<Option<Resources>>()?,
                _ => return Err(unknown(&key, &["resources"])),
            }
        }
        Ok(rules.map(|Resources(rules)| rules).unwrap_or_default())
    }
}

struct Resources(OwnerRules);

impl<'de> Deserialize<'de> for Resources {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ResourcesVisitor)
    }
}

struct ResourcesVisitor;

impl<'de> Visitor<'de> for ResourcesVisitor {
    type Value = Resources;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "some of {}", KEYS.join(", "))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Resources, A::Error> {
        let mut rules = OwnerRules::default();
        let mut seen = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if seen.contains(&key) {
                return Err(twice(&key));
            }
            match key.as_str() {
                "cpu_limit" => rules.cpu_limit = Some(map.next_value()?),
                "memory_limit" => rules.memory_limit = Some(map.next_value::<Written>()?.0),
                "disk_limit" => rules.disk_limit = Some(map.next_value::<Written>()?.0),
                "gpus" => rules.gpus = map.next_value()?,
                _ => return Err(unknown(&key, &KEYS)),
            }
            seen.push(key);
        }
        Ok(Resources(rules))
    }
}

const KEYS: [&str; 4] = ["cpu_limit", "memory_limit", "disk_limit", "gpus"];

fn twice<E: serde::de::Error>(key: &str) -> E {
    E::custom(format_args!("the key {key} appears twice"))
}

fn unknown<E: serde::de::Error>(key: &str, known: &[&str]) -> E {
    let nearest = known
        .iter()
        .min_by_key(|candidate| strsim::damerau_levenshtein(candidate, key))
        .copied()
        .unwrap_or_default();
    let shown: String = key.chars().take(40).collect();
    E::custom(format_args!(
        "unknown key {shown:?}; the nearest known key is {nearest:?}"
    ))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn error(json: &str, expect: &str) {
        let error = serde_json::from_str::<OwnerRules>(json)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expect), "{json}: {error}");
    }

    #[test]
    fn files_read_as_owners_write_them() {
        let rules: OwnerRules = serde_json::from_str(
            r#"{"resources": {"cpu_limit": 80, "memory_limit": 16384, "disk_limit": "200GiB", "gpus": [0, "GPU-1"]}}"#,
        )
        .unwrap();
        assert_eq!(rules.cpu_limit, Some(Percent(80)));
        assert_eq!(rules.memory_limit, Some(Bytes::gib(16)));
        assert_eq!(rules.disk_limit, Some(Bytes::gib(200)));
        assert!(rules.gpus.lends(0, "GPU-0") && rules.gpus.lends(5, "GPU-1"));
        assert!(!rules.gpus.lends(1, "GPU-2"));
        for empty in [
            "null",
            "{}",
            r#"{"resources": null}"#,
            r#"{"resources": {}}"#,
        ] {
            assert_eq!(
                serde_json::from_str::<OwnerRules>(empty).unwrap(),
                OwnerRules::default(),
                "{empty}"
            );
        }
        let percent = r#"{"resources": {"cpu_limit": "75%", "gpus": "none"}}"#;
        let rules: OwnerRules = serde_json::from_str(percent).unwrap();
        assert_eq!(
            (rules.cpu_limit, rules.gpus),
            (Some(Percent(75)), GpuRule::None)
        );
    }

    #[test]
    fn mistakes_say_what_is_wrong() {
        error(r#"{"resource": {}}"#, "nearest known key is \"resources\"");
        error(
            r#"{"resources": {"cpu_limt": 80}}"#,
            "unknown key \"cpu_limt\"; the nearest known key is \"cpu_limit\"",
        );
        error(
            r#"{"resources": {"cpu_limit": 101}}"#,
            "101 is not a percentage",
        );
        error(
            r#"{"resources": {"cpu_limit": -1}}"#,
            "-1 is not a percentage",
        );
        error(
            r#"{"resources": {"cpu_limit": "much"}}"#,
            "\"much\" is not a percentage",
        );
        error(
            r#"{"resources": {"memory_limit": "16 bananas"}}"#,
            "is not a size",
        );
        error(r#"{"resources": {"memory_limit": -5}}"#, "negative");
        error(
            r#"{"resources": {"gpus": "some"}}"#,
            "\"some\" is not all, none",
        );
        error(
            r#"{"resources": {"gpus": 1, "gpus": 2}}"#,
            "all, none, or a list",
        );
        error(
            r#"{"resources": {"cpu_limit": 1, "cpu_limit": 2}}"#,
            "appears twice",
        );
        error(r#"{"resources": 5}"#, "cpu_limit, memory_limit");
    }
}
