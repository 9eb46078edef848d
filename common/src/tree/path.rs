//! Names inside a tree: bytes, as Linux has them, checked so that they stay inside.
//!
//! A name need not be UTF-8, and one that is not travels and is kept as it is. People see it escaped: what is not
//! UTF-8 and what would act on a terminal as `\xNN`, a backslash as two. That form is also the one in JSON.

use std::{borrow::Cow, fmt, fmt::Write as _, str::FromStr};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, Visitor},
};

/// Longest path inside a tree, in bytes; Linux' PATH_MAX leaves room for where it is put.
pub const MAX_PATH_BYTES: usize = 2048;
/// Longest single name, in bytes; the limit of common file systems.
pub const MAX_COMPONENT_BYTES: usize = 255;

/// A relative path of plain names, `/` between them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(Box<[u8]>);

impl TreePath {
    /// Checks a path.
    ///
    /// # Errors
    /// It is empty, too long, absolute, or has a component that is no plain name.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, InvalidPath> {
        let bytes: Vec<u8> = bytes.into();
        if bytes.is_empty() {
            return Err(InvalidPath::Empty);
        }
        if bytes.len() > MAX_PATH_BYTES {
            return Err(InvalidPath::TooLong);
        }
        if bytes[0] == b'/' {
            return Err(InvalidPath::Absolute);
        }
        if bytes.contains(&0) {
            return Err(InvalidPath::Nul);
        }
        for component in bytes.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => return Err(InvalidPath::NotPlain),
                b".." => return Err(InvalidPath::Escapes),
                long if long.len() > MAX_COMPONENT_BYTES => return Err(InvalidPath::TooLong),
                _ => {}
            }
        }
        Ok(Self(bytes.into()))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the folders above this path, nearest first.
    pub fn ancestors(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::successors(parent(&self.0), |path| parent(path))
    }

    /// Returns whether this path is `folder` or stands somewhere below it.
    pub fn is_within(&self, folder: &Self) -> bool {
        let rest = self.0.strip_prefix(&folder.0[..]);
        rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    }
}

/// Returns the folder in which a path stands, unless that is the outermost one.
pub(super) fn parent(path: &[u8]) -> Option<&[u8]> {
    let slash = path.iter().rposition(|byte| *byte == b'/')?;
    Some(&path[..slash])
}

impl FromStr for TreePath {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        Self::new(text)
    }
}

/// Why bytes are not a [`TreePath`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    #[error("the path is empty")]
    Empty,
    #[error(
        "the path is longer than {MAX_PATH_BYTES} bytes, or a name in it longer than {MAX_COMPONENT_BYTES}"
    )]
    TooLong,
    #[error("the path is absolute")]
    Absolute,
    #[error("the path holds a NUL byte")]
    Nul,
    #[error("the path has an empty or '.' component")]
    NotPlain,
    #[error("the path leaves the folder through '..'")]
    Escapes,
    #[error("it is not in the escaped form")]
    Escape,
}

/// Where a symbolic link leads, relative to its own folder. Whether that is inside is for the tree to say.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkTarget(Box<[u8]>);

impl LinkTarget {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into().into())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns whether a link at `path` to here stays in the tree, judged by names alone; targets that themselves
    /// are links are judged where they stand.
    pub(super) fn stays_inside(&self, path: &TreePath) -> bool {
        let target = self.as_bytes();
        if target.is_empty() || target.len() > MAX_PATH_BYTES {
            return false;
        }
        if target[0] == b'/' || target.contains(&0) {
            return false;
        }
        let mut depth = path.ancestors().count();
        for component in target.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => match depth.checked_sub(1) {
                    None => return false,
                    Some(up) => depth = up,
                },
                _ => depth += 1,
            }
        }
        true
    }
}

impl From<&str> for LinkTarget {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// Shows and writes down bytes that are a name.
macro_rules! name_bytes {
    ($type:ident, $make:expr) => {
        impl AsRef<[u8]> for $type {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&escaped(&self.0))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "\"{}\"", escaped(&self.0))
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.serialize_str(&escaped(&self.0))
                } else {
                    serializer.serialize_bytes(&self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let bytes = if deserializer.is_human_readable() {
                    let text = Cow::<str>::deserialize(deserializer)?;
                    unescaped(&text).map_err(D::Error::custom)?
                } else {
                    deserializer.deserialize_byte_buf(Raw)?
                };
                let make: fn(Vec<u8>) -> Result<Self, InvalidPath> = $make;
                make(bytes).map_err(D::Error::custom)
            }
        }
    };
}

name_bytes!(TreePath, Self::new);
name_bytes!(LinkTarget, |bytes| Ok(Self::new(bytes)));

struct Raw;

impl Visitor<'_> for Raw {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }
}

/// Returns the form for people; see the module.
pub fn escaped(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(needs_escape) => return Cow::Borrowed(text),
        _ => {}
    }
    let mut shown = String::with_capacity(bytes.len() + 8);
    let hex = |shown: &mut String, bytes: &[u8]| {
        for byte in bytes {
            // Writing to a text cannot fail.
            let _ = write!(shown, "\\x{byte:02x}");
        }
    };
    for part in bytes.utf8_chunks() {
        for letter in part.valid().chars() {
            match letter {
                '\\' => shown.push_str("\\\\"),
                _ if needs_escape(letter) => {
                    hex(&mut shown, letter.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => shown.push(letter),
            }
        }
        hex(&mut shown, part.invalid());
    }
    Cow::Owned(shown)
}

/// What acts on a terminal, or turns around the order in which it is read.
fn needs_escape(letter: char) -> bool {
    let turns = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    letter == '\\' || letter.is_control() || turns
}

/// Reads what [`escaped`] wrote.
fn unescaped(text: &str) -> Result<Vec<u8>, InvalidPath> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'\\' {
            bytes.push(first);
            continue;
        }
        match rest {
            [b'\\', after @ ..] => {
                bytes.push(b'\\');
                rest = after;
            }
            [b'x', high, low, after @ ..] => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
                    return Err(InvalidPath::Escape);
                };
                bytes.push(u8::try_from(high * 16 + low).map_err(|_| InvalidPath::Escape)?);
                rest = after;
            }
            _ => return Err(InvalidPath::Escape),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn hostile_paths_are_refused() {
        let cases: [(&[u8], InvalidPath); 10] = [
            (b"", InvalidPath::Empty),
            (b"/etc/passwd", InvalidPath::Absolute),
            (b"..", InvalidPath::Escapes),
            (b"a/../../b", InvalidPath::Escapes),
            (b"a//b", InvalidPath::NotPlain),
            (b"./a", InvalidPath::NotPlain),
            (b"a/.", InvalidPath::NotPlain),
            (b"a\0b", InvalidPath::Nul),
            (&[b'a'; 256], InvalidPath::TooLong),
            (&b"a/".repeat(2048)[..4095], InvalidPath::TooLong),
        ];
        for (bytes, why) in cases {
            assert_eq!(TreePath::new(bytes), Err(why), "{bytes:?}");
        }
        assert!("a/..b/c..".parse::<TreePath>().is_ok());
    }

    #[test]
    fn names_that_are_not_text_are_kept_and_shown_escaped() {
        let cases: [(&[u8], &str); 5] = [
            ("näme/ü b".as_bytes(), "näme/ü b"),
            (b"b\xffd/\xc3", "b\\xffd/\\xc3"),
            (b"back\\xff", "back\\\\xff"),
            (b"\x1b[31mred\n", "\\x1b[31mred\\x0a"),
            ("a\u{202e}b".as_bytes(), "a\\xe2\\x80\\xaeb"),
        ];
        for (bytes, shown) in cases {
            let path = TreePath::new(bytes).unwrap();
            assert_eq!(path.to_string(), shown);
            assert_eq!(format!("{path:?}"), format!("\"{shown}\""));
            let json = serde_json::to_string(&path).unwrap();
            assert_eq!(serde_json::from_str::<TreePath>(&json).unwrap(), path);
        }
        for bad in ["\"\\\\\"", "\"\\\\xg0\"", "\"\\\\x0\"", "\"..\""] {
            assert!(serde_json::from_str::<TreePath>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_within_a_folder_is_told_by_whole_names() {
        let path = |text: &str| text.parse::<TreePath>().unwrap();
        assert!(path("a/b").is_within(&path("a")));
        assert!(path("a").is_within(&path("a")));
        assert!(!path("ab").is_within(&path("a")));
        assert!(!path("a").is_within(&path("a/b")));
    }

    proptest! {
        #[test]
        fn any_bytes_come_back_from_the_escaped_form(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let shown = escaped(&bytes);
            prop_assert!(!shown.contains(char::is_control));
            prop_assert_eq!(unescaped(&shown), Ok(bytes.clone()));
        }

        #[test]
        fn hostile_forms_are_an_error_or_a_path(text: String) {
            if let Ok(bytes) = unescaped(&text) {
                let _any = TreePath::new(bytes);
            }
        }
    }
}
