//! The names that people choose: of users, orgs, machines and datasets.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::problem::code_point;

/// Longest name, in bytes: fits a DNS label and a table's column.
pub const MAX_NAME_BYTES: usize = 63;

/// What a program or a person would read as a part of the system, or as a role: nobody's handle.
const RESERVED: [&str; 12] = [
    "admin",
    "admins",
    "all",
    "coordinator",
    "everybody",
    "everyone",
    "me",
    "member",
    "none",
    "owner",
    "stranger",
    "system",
];

/// A short name: lower-case letters, digits, `-`, `_` and `.`, beginning with a letter or digit.
///
/// Nothing else can get in, so a name is safe in a path, a table, a log line and a shell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// Returns whether it would read as something else than a person where a handle stands.
    pub fn is_reserved_handle(&self) -> bool {
        RESERVED.contains(&self.as_str())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        if text.is_empty() {
            Err(InvalidName::Empty)
        } else if text.len() > MAX_NAME_BYTES {
            Err(InvalidName::TooLong)
        } else if let Some(bad) = text.chars().find(|&c| !allowed(c)) {
            Err(InvalidName::Character(bad))
        } else if !starts_well {
            Err(InvalidName::Start)
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

/// Why a text is not a [`Name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    #[error("a name cannot be empty")]
    Empty,
    #[error("a name has at most {MAX_NAME_BYTES} characters")]
    TooLong,
    #[error("a name is made of a-z, 0-9, '-', '_' and '.'; found {}", found(*.0))]
    Character(char),
    #[error("a name begins with a letter or a digit")]
    Start,
}

/// A letter that looks like one of a-z, or that cannot be seen at all, is told by its number.
fn found(c: char) -> String {
    match c {
        ' '..='~' => format!("'{c}'"),
        foreign => code_point(foreign),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Result<(), InvalidName>) {
        assert_eq!(text.parse::<Name>().map(|_| ()), expect, "{text:?}");
    }

    #[test]
    fn names_keep_out_paths_escapes_and_look_alikes() {
        check("bob-workstation", Ok(()));
        check("a.b_c-9", Ok(()));
        check("", Err(InvalidName::Empty));
        check("../x", Err(InvalidName::Character('/')));
        check("..", Err(InvalidName::Start));
        check("-rf", Err(InvalidName::Start));
        check("Bob", Err(InvalidName::Character('B')));
        check("b\u{1b}[31m", Err(InvalidName::Character('\u{1b}')));
        check("b\u{202e}b", Err(InvalidName::Character('\u{202e}')));
        // Cyrillic and Greek letters, full width, and marks without any.
        for foreign in [
            '\u{430}', '\u{435}', '\u{3bf}', '\u{ff41}', '\u{200b}', '\u{301}',
        ] {
            check(
                &format!("l{foreign}b"),
                Err(InvalidName::Character(foreign)),
            );
            check(
                &format!("{foreign}lab"),
                Err(InvalidName::Character(foreign)),
            );
        }
        for control in (0..=0x1f).chain(0x7f..=0x9f) {
            let control = char::from_u32(control).unwrap();
            check(
                &format!("lab{control}"),
                Err(InvalidName::Character(control)),
            );
        }
        check(&"a".repeat(64), Err(InvalidName::TooLong));
    }

    #[test]
    fn parts_of_the_system_are_nobodys_handle() {
        for word in RESERVED {
            assert!(word.parse::<Name>().unwrap().is_reserved_handle(), "{word}");
        }
        for handle in ["alice", "system1", "memo"] {
            assert!(
                !handle.parse::<Name>().unwrap().is_reserved_handle(),
                "{handle}"
            );
        }
    }

    #[test]
    fn what_looks_like_a_letter_is_told_by_its_number() {
        let words = |text: &str| text.parse::<Name>().unwrap_err().to_string();
        assert!(words("Bob").ends_with("found 'B'"), "{}", words("Bob"));
        assert!(words("l\u{430}b").ends_with("found U+0430"));
        assert!(words("b\u{202e}b").ends_with("found U+202E"));
    }
}
