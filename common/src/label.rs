//! Labels: what owners and admins say of machines, and what jobs want of them.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::problem::shown;

/// Longest key and longest value of a label, in bytes.
pub const MAX_LABEL_PART_BYTES: usize = 63;
/// Most labels that an owner, or admins, give one machine.
pub const MAX_LABELS: usize = 32;
/// Most labels that a job names.
pub const MAX_WANTED_LABELS: usize = 16;

/// A word about a machine: `ssd`, or with a value, `zone=a`. A machine has one value of a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    key: String,
    value: Option<String>,
}

/// What a job wants of a machine: a label, or with `!` before it, that the machine has it not. A key alone is about
/// every value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WantedLabel {
    label: Label,
    is_absent: bool,
}

impl Label {
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns whether a machine that has `self` has what is named: the same, or any value where only a key is.
    fn is(&self, named: &Self) -> bool {
        self.key == named.key && (named.value.is_none() || self.value == named.value)
    }

    /// Returns the labels in order, of each key the last one that is said.
    pub fn by_key(labels: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut kept: Vec<Self> = labels.into_iter().collect();
        // A stable order: of one key, what was said last comes first.
        kept.reverse();
        kept.sort_by(|a, b| a.key.cmp(&b.key));
        kept.dedup_by(|later, first| later.key == first.key);
        kept
    }
}

impl WantedLabel {
    /// Returns whether a machine with these labels is what is wanted.
    pub fn is_met_by(&self, labels: &[Label]) -> bool {
        labels.iter().any(|label| label.is(&self.label)) != self.is_absent
    }

    /// Returns the label that is wanted, or not wanted.
    pub const fn label(&self) -> &Label {
        &self.label
    }

    pub const fn is_absent(&self) -> bool {
        self.is_absent
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            None => f.pad(&self.key),
            Some(value) => f.pad(&format!("{}={value}", self.key)),
        }
    }
}

impl fmt::Display for WantedLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_absent {
            false => self.label.fmt(f),
            true => f.pad(&format!("!{}", self.label)),
        }
    }
}

impl FromStr for Label {
    type Err = InvalidLabel;

    fn from_str(text: &str) -> Result<Self, InvalidLabel> {
        let (key, value) = match text.split_once('=') {
            None => (text, None),
            Some((key, value)) => (key, Some(value)),
        };
        if !is_part(key) || !value.is_none_or(is_part) {
            return Err(InvalidLabel(text.to_owned()));
        }
        Ok(Self {
            key: key.to_owned(),
            value: value.map(str::to_owned),
        })
    }
}

impl FromStr for WantedLabel {
    type Err = InvalidLabel;

    fn from_str(text: &str) -> Result<Self, InvalidLabel> {
        let (label, is_absent) = match text.strip_prefix('!') {
            None => (text, false),
            Some(label) => (label, true),
        };
        Ok(Self {
            label: label.parse()?,
            is_absent,
        })
    }
}

/// What is safe in a file, a table and a shell: lower-case letters, digits, `-`, `_`, `.`, beginning with one of the
/// first two.
fn is_part(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(plain)
        && text.len() <= MAX_LABEL_PART_BYTES
        && text.chars().all(|c| plain(c) || "-_.".contains(c))
}

/// Why a text is not a [`Label`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is not a label; write ssd or zone=a, with a-z, 0-9, '-', '_' and '.', at most {MAX_LABEL_PART_BYTES} characters \
     each",
    shown(.0)
)]
pub struct InvalidLabel(String);

macro_rules! as_text {
    ($($name:ident)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

as_text! { Label WantedLabel }

/// Returns whether no two of them are of one key, in the order of the keys: as [`Label::by_key`] makes them.
pub fn are_by_key(labels: &[Label]) -> bool {
    let in_order = |two: &[Label]| two[0].key.cmp(&two[1].key) == Ordering::Less;
    labels.windows(2).all(in_order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(texts: &[&str]) -> Vec<Label> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn labels_are_plain_words() {
        for text in ["ssd", "zone=a", "gpu.driver=580.1", "9=0"] {
            assert_eq!(text.parse::<Label>().unwrap().to_string(), text);
        }
        let long = "a".repeat(64);
        for bad in [
            "",
            "=",
            "a=",
            "=a",
            "A",
            "a b",
            "a=b=c",
            "-a",
            "!a",
            "a=\u{430}",
            "a/b",
            &long,
        ] {
            assert!(bad.parse::<Label>().is_err(), "{bad:?}");
            let json = serde_json::to_string(bad).unwrap();
            assert!(serde_json::from_str::<Label>(&json).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_key_alone_is_about_every_value() {
        let machine = labels(&["ssd", "zone=a"]);
        for (wanted, expect) in [
            ("ssd", true),
            ("zone", true),
            ("zone=a", true),
            ("zone=b", false),
            ("ssd=yes", false),
            ("slow", false),
            ("!slow", true),
            ("!zone", false),
            ("!zone=a", false),
            ("!zone=b", true),
        ] {
            let wanted: WantedLabel = wanted.parse().unwrap();
            assert_eq!(wanted.is_met_by(&machine), expect, "{wanted}");
        }
        assert!("!!slow".parse::<WantedLabel>().is_err());
    }

    #[test]
    fn of_each_key_the_last_one_counts() {
        let said = labels(&["zone=a", "ssd", "rack=1", "zone=b"]);
        let kept = Label::by_key(said);
        assert_eq!(kept, labels(&["rack=1", "ssd", "zone=b"]));
        assert!(are_by_key(&kept) && !are_by_key(&labels(&["b", "a"])));
        assert!(!are_by_key(&labels(&["a=1", "a=2"])));
    }
}
