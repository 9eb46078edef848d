//! What users say of themselves: the name that people read, and an e-mail address.
//!
//! Both are shown to others, so what could be taken for something else gets in nowhere: no control characters, nothing
//! that turns or hides text, no letters of another alphabet that look like one's own.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Longest display name, in bytes.
pub const MAX_DISPLAY_NAME_BYTES: usize = 128;
/// Longest e-mail address, in bytes (RFC 5321, section 4.5.3.1.3, less the angle brackets).
pub const MAX_EMAIL_BYTES: usize = 254;
/// Longest part before the `@` (RFC 5321, section 4.5.3.1.1).
const MAX_LOCAL_BYTES: usize = 64;
/// Longest label of a domain (RFC 1035, section 2.3.4).
const MAX_LABEL_BYTES: usize = 63;
/// Most marks on one letter: Vietnamese takes two.
const MAX_MARKS: usize = 2;

/// A person's name as people write it, in any one alphabet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DisplayName(String);

/// An e-mail address. Nobody has shown that it is theirs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Email(String);

/// Why a text is not a [`DisplayName`] or [`Email`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProfile {
    #[error("the name is empty")]
    NameEmpty,
    #[error("the name is longer than {MAX_DISPLAY_NAME_BYTES} bytes")]
    NameTooLong,
    #[error("the name holds U+{:04X}, which cannot be seen or looks like something else", u32::from(*.0))]
    NameCharacter(char),
    #[error("the name mixes {0} and {1} letters, some of which look alike")]
    NameMixed(&'static str, &'static str),
    #[error("the name heaps marks on one letter")]
    NameMarks,
    #[error("the address is longer than {MAX_EMAIL_BYTES} bytes")]
    EmailTooLong,
    #[error("the address does not have the form NAME@DOMAIN")]
    EmailForm,
    #[error("the part of the address before the @ is longer than {MAX_LOCAL_BYTES} bytes")]
    EmailLocalTooLong,
    #[error("the address holds {}", shown(*.0))]
    EmailCharacter(char),
    #[error("{0:?} cannot be the domain of an address")]
    EmailDomain(String),
}

impl DisplayName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DisplayName {
    type Err = InvalidProfile;

    /// Reads a name; spaces around it do not count, and several within count as one.
    fn from_str(text: &str) -> Result<Self, InvalidProfile> {
        if text.len() > MAX_DISPLAY_NAME_BYTES {
            return Err(InvalidProfile::NameTooLong);
        }
        let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
        let name = words.join(" ");
        if let Some(bad) = name.chars().find(|c| is_deceptive(*c)) {
            return Err(InvalidProfile::NameCharacter(bad));
        }
        let mut scripts = name.chars().filter_map(confusable_script);
        if let Some(first) = scripts.next()
            && let Some(other) = scripts.find(|script| *script != first)
        {
            return Err(InvalidProfile::NameMixed(first, other));
        }
        let mut marks = 0;
        for c in name.chars() {
            marks = if is_mark(c) { marks + 1 } else { 0 };
            if marks > MAX_MARKS {
                return Err(InvalidProfile::NameMarks);
            }
        }
        match name.chars().next() {
            None => Err(InvalidProfile::NameEmpty),
            Some(first) if is_mark(first) => Err(InvalidProfile::NameMarks),
            Some(_) => Ok(Self(name)),
        }
    }
}

impl Email {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Email {
    type Err = InvalidProfile;

    /// Reads an address of the plain form (RFC 5321 `Dot-string@Domain`, ASCII); the domain's case does not count.
    fn from_str(text: &str) -> Result<Self, InvalidProfile> {
        let text = text.trim_matches(' ');
        if text.len() > MAX_EMAIL_BYTES {
            return Err(InvalidProfile::EmailTooLong);
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "@.!#$%&'*+-/=?^_`{|}~".contains(c);
        if let Some(bad) = text.chars().find(|c| !allowed(*c)) {
            return Err(InvalidProfile::EmailCharacter(bad));
        }
        let (local, domain) = text.split_once('@').ok_or(InvalidProfile::EmailForm)?;
        if local.len() > MAX_LOCAL_BYTES {
            return Err(InvalidProfile::EmailLocalTooLong);
        }
        if domain.is_empty() || local.split('.').any(str::is_empty) {
            return Err(InvalidProfile::EmailForm);
        }
        let domain = domain.to_ascii_lowercase();
        let labels: Vec<&str> = domain.split('.').collect();
        let plain = |label: &&str| {
            let inside = label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-');
            let edges = label.starts_with('-') || label.ends_with('-');
            inside && !edges && (1..=MAX_LABEL_BYTES).contains(&label.len())
        };
        let top = labels.last().copied().unwrap_or_default();
        if labels.len() < 2 || !labels.iter().all(plain) || top.bytes().all(|b| b.is_ascii_digit())
        {
            return Err(InvalidProfile::EmailDomain(domain));
        }
        Ok(Self(format!("{local}@{domain}")))
    }
}

/// Returns a character that is not allowed in an address, by its number where it could be taken for another.
fn shown(c: char) -> String {
    if c.is_ascii_graphic() || c == ' ' {
        format!("{c:?}")
    } else {
        let number = u32::from(c);
        format!("U+{number:04X}, which is no plain letter, digit or sign")
    }
}

/// Returns whether the character cannot be seen, turns the text around it, or is a stylised copy of another.
fn is_deceptive(c: char) -> bool {
    if c.is_control() || (c.is_whitespace() && c != ' ') {
        return true;
    }
    matches!(
        u32::from(c),
        // Soft hyphen, invisible fillers and joiners, marks of direction, tags, variation selectors, braille blank.
        0x00AD | 0x034F | 0x061C | 0x115F..=0x1160 | 0x17B4..=0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F
            | 0x2028..=0x202E | 0x2060..=0x206F | 0x2800 | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0
            | 0xFFF0..=0xFFFF | 0xE0000..=0xE0FFF
            // Private use.
            | 0xE000..=0xF8FF | 0xF0000..=0x10FFFF
            // Letters within signs, of full width, mathematical and small capital copies of Latin.
            | 0x1D00..=0x1DBF | 0x2100..=0x214F | 0x2460..=0x24FF | 0xA720..=0xA7FF | 0xFF00..=0xFF5E
            | 0x1D400..=0x1D7FF | 0x1F100..=0x1F1FF
            // Slashes and dashes that are none.
            | 0x2044 | 0x2215 | 0x29F8 | 0x2010..=0x2015
    )
}

/// Returns the alphabet of a letter, where letters of several look alike.
fn confusable_script(c: char) -> Option<&'static str> {
    match u32::from(c) {
        0x41..=0x5A | 0x61..=0x7A | 0xC0..=0x24F | 0x1E00..=0x1EFF | 0x250..=0x2AF => Some("Latin"),
        0x370..=0x3FF | 0x1F00..=0x1FFF => Some("Greek"),
        0x400..=0x52F | 0x1C80..=0x1C8F | 0x2DE0..=0x2DFF | 0xA640..=0xA69F => Some("Cyrillic"),
        0x530..=0x58F => Some("Armenian"),
        0x13A0..=0x13FF | 0xAB70..=0xABBF => Some("Cherokee"),
        _ => None,
    }
}

/// Returns whether the character is drawn on the one before it.
const fn is_mark(c: char) -> bool {
    matches!(c as u32, 0x300..=0x36F | 0x483..=0x489 | 0x1AB0..=0x1AFF | 0x1DC0..=0x1DFF | 0x20D0..=0x20FF | 0xFE20..=0xFE2F)
}

macro_rules! text {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidProfile;

            fn try_from(text: String) -> Result<Self, InvalidProfile> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }
    )*};
}

text! { DisplayName Email }

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn name(text: &str, expect: Result<&str, InvalidProfile>) {
        let got = text.parse::<DisplayName>().map(String::from);
        assert_eq!(got, expect.map(str::to_owned), "{text:?}");
    }

    #[track_caller]
    fn email(text: &str, expect: Result<&str, InvalidProfile>) {
        let got = text.parse::<Email>().map(String::from);
        assert_eq!(got, expect.map(str::to_owned), "{text:?}");
    }

    #[test]
    fn names_of_people_everywhere_are_names() {
        for good in [
            "Ada Lovelace",
            "Zoë",
            "Nguyễn Văn An",
            "Дмитрий",
            "李雷",
            "Ὅμηρος",
            "O'Neil-Smith Jr.",
        ] {
            name(good, Ok(good));
        }
        name("  Ada   Lovelace ", Ok("Ada Lovelace"));
    }

    #[test]
    fn nothing_hidden_turned_or_faked_is_a_name() {
        use InvalidProfile::{NameCharacter, NameEmpty, NameMarks, NameMixed, NameTooLong};
        name("", Err(NameEmpty));
        name("   ", Err(NameEmpty));
        name("a\u{1b}[31m", Err(NameCharacter('\u{1b}')));
        name("a\nb", Err(NameCharacter('\n')));
        name("a\u{202e}b", Err(NameCharacter('\u{202e}')));
        name("a\u{200b}b", Err(NameCharacter('\u{200b}')));
        name("a\u{a0}b", Err(NameCharacter('\u{a0}')));
        name("\u{ff21}da", Err(NameCharacter('\u{ff21}')));
        name("\u{1d400}da", Err(NameCharacter('\u{1d400}')));
        // The first letter is Cyrillic.
        name("\u{410}da", Err(NameMixed("Cyrillic", "Latin")));
        name("Ad\u{3b1}", Err(NameMixed("Latin", "Greek")));
        name("a\u{301}\u{301}\u{301}", Err(NameMarks));
        name("\u{301}a", Err(NameMarks));
        name(&"a".repeat(129), Err(NameTooLong));
    }

    #[test]
    fn addresses_have_a_name_and_a_domain() {
        use InvalidProfile::{
            EmailCharacter, EmailDomain, EmailForm, EmailLocalTooLong, EmailTooLong,
        };
        email("ada@Lab.Example", Ok("ada@lab.example"));
        email(" a.b+c@x-y.museum ", Ok("a.b+c@x-y.museum"));
        email("", Err(EmailForm));
        email("ada", Err(EmailForm));
        email("@lab.example", Err(EmailForm));
        email("a..b@lab.example", Err(EmailForm));
        email("ada@lab", Err(EmailDomain("lab".to_owned())));
        email(
            "ada@@lab.example",
            Err(EmailDomain("@lab.example".to_owned())),
        );
        email("ada@10.0.0.1", Err(EmailDomain("10.0.0.1".to_owned())));
        email("ada@-x.example", Err(EmailDomain("-x.example".to_owned())));
        email("ada\r\nBcc: x@y.example", Err(EmailCharacter('\r')));
        email("\u{430}da@lab.example", Err(EmailCharacter('\u{430}')));
        let long = format!("{}@lab.example", "a".repeat(65));
        email(&long, Err(EmailLocalTooLong));
        email(&format!("a@{}", "x.".repeat(150)), Err(EmailTooLong));
    }
}
