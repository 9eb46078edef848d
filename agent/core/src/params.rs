//! Parameters of an array's tasks: an object of JSON for each, and what it makes of the job's command.
//!
//! They lie in a tree of two files, so that one line is read without the others: [`LINES`] has the lines, each ended by
//! a line feed, [`OFFSETS`] where each begins and where the last one ends, as little-endian `u64`s. The command line
//! makes the tree and checks every line; a machine trusts none of it.

use std::collections::BTreeMap;

use common::job::MAX_COMMAND_BYTES;
use serde::{Deserialize, de::IgnoredAny};

pub const LINES: &str = "lines";
pub const OFFSETS: &str = "offsets";
/// Bytes of one offset.
pub const OFFSET_BYTES: u64 = 8;
/// Longest line. A variable of twice that is what the kernel takes.
pub const MAX_LINE_BYTES: usize = 64 << 10;
/// The task's line, as it was written.
pub const VARIABLE: &str = "COMPUTE_SHARE_PARAMS";
/// What JSON takes for space.
const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];
/// Most of a key that is named in a sentence.
const MAX_NAMED: usize = 80;

/// The parameters of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params {
    line: String,
    /// As arguments have them: texts as they are, all else as the line writes it.
    values: BTreeMap<String, String>,
}

/// What a task runs instead of its job's command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    pub command: Vec<String>,
    /// For [`VARIABLE`].
    pub line: String,
}

/// Why a line is of no use; follows `line 3 `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidParams {
    #[error("is longer than {} KiB", MAX_LINE_BYTES >> 10)]
    TooLong,
    #[error("is blank; line 1 is task 0, and each task has one")]
    Blank,
    #[error("is not UTF-8")]
    NotUtf8,
    #[error("is not JSON: {0}")]
    NotJson(String),
    #[error("is JSON, but not an object")]
    NotObject,
    #[error("has the key {0:?} twice")]
    Twice(String),
    #[error("puts a NUL byte into the command")]
    Nul,
    #[error("makes the command longer than {} KiB", MAX_COMMAND_BYTES >> 10)]
    CommandTooLong,
    #[error("leaves the command without a program")]
    NoProgram,
}

impl Params {
    /// Reads a line, without what ends it.
    ///
    /// # Errors
    /// It is not an object of JSON, or too long.
    pub fn parse(line: &[u8]) -> Result<Self, InvalidParams> {
        if line.len() > MAX_LINE_BYTES {
            return Err(InvalidParams::TooLong);
        }
        let line = str::from_utf8(line).map_err(|_| InvalidParams::NotUtf8)?;
        let text = line.trim_matches(SPACE);
        if text.is_empty() {
            return Err(InvalidParams::Blank);
        }
        serde_json::from_str::<IgnoredAny>(line).map_err(|error| not_json(&error))?;
        let text = text.strip_prefix('{').ok_or(InvalidParams::NotObject)?;
        Ok(Self {
            values: members(text)?,
            line: line.to_owned(),
        })
    }

    pub fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Puts the values into a command. A value is not looked at again for what it may hold.
    ///
    /// # Errors
    /// The command would be too long, or nothing that can be run.
    pub fn fill(self, command: &[String]) -> Result<Filled, InvalidParams> {
        let mut left = MAX_COMMAND_BYTES;
        let words = command.iter().map(|word| self.fill_word(word, &mut left));
        let command: Vec<String> = words.collect::<Result<_, _>>()?;
        if command.first().is_none_or(String::is_empty) {
            return Err(InvalidParams::NoProgram);
        }
        let line = self.line;
        Ok(Filled { command, line })
    }

    fn fill_word(&self, word: &str, left: &mut usize) -> Result<String, InvalidParams> {
        let mut filled = String::new();
        let mut put = |text: &str| {
            *left = left
                .checked_sub(text.len())
                .ok_or(InvalidParams::CommandTooLong)?;
            filled.push_str(text);
            Ok(())
        };
        let mut rest = word;
        while let Some(place) = first_place(rest) {
            put(place.before)?;
            match self.values.get(place.name) {
                Some(value) if value.contains('\0') => return Err(InvalidParams::Nul),
                Some(value) => put(value)?,
                None => put(place.whole)?,
            }
            rest = place.after;
        }
        put(rest)?;
        Ok(filled)
    }
}

/// Where a value may go.
struct Place<'a> {
    before: &'a str,
    /// `{name}`.
    whole: &'a str,
    name: &'a str,
    after: &'a str,
}

/// Returns the first `{name}` of a text. What a shell reads as a variable, `${name}`, is left to it.
fn first_place(text: &str) -> Option<Place<'_>> {
    let mut from = 0;
    while let Some(open) = text[from..].find('{').map(|at| from + at) {
        let inside = &text[open + 1..];
        let is_of_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        let length = inside.find(|c| !is_of_name(c)).unwrap_or(inside.len());
        let before = &text[..open];
        if length > 0 && inside[length..].starts_with('}') && !before.ends_with('$') {
            let (whole, after) = text[open..].split_at(length + 2);
            let name = &inside[..length];
            return Some(Place {
                before,
                whole,
                name,
                after,
            });
        }
        from = open + 1;
    }
    None
}

/// Returns every name in a text for which a value may stand, in order.
pub fn names(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let place = first_place(rest)?;
        rest = place.after;
        Some(place.name)
    })
}

/// Takes the rest of an object apart that is known to be JSON.
fn members(text: &str) -> Result<BTreeMap<String, String>, InvalidParams> {
    let mut values = BTreeMap::new();
    let mut rest = text.trim_start_matches(SPACE);
    while !rest.starts_with('}') {
        let (key, _, after) = value::<String>(rest)?;
        let after = after.trim_start_matches([':', ' ', '\t', '\n', '\r']);
        let (_, written, after) = value::<IgnoredAny>(after)?;
        let value = match written.starts_with('"') {
            true => serde_json::from_str(written).map_err(|error| not_json(&error))?,
            false => written.to_owned(),
        };
        if values.insert(key.clone(), value).is_some() {
            let key = key.chars().take(MAX_NAMED).collect();
            return Err(InvalidParams::Twice(key));
        }
        rest = after.trim_start_matches([',', ' ', '\t', '\n', '\r']);
    }
    Ok(values)
}

/// Reads the first value of a text; returns it, how it is written, and what comes after it.
fn value<'a, T: Deserialize<'a>>(text: &'a str) -> Result<(T, &'a str, &'a str), InvalidParams> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<T>();
    let value = values
        .next()
        .transpose()
        .map_err(|error| not_json(&error))?;
    let end = values.byte_offset();
    let value = value.ok_or_else(|| InvalidParams::NotJson("it ends too early".to_owned()))?;
    Ok((value, &text[..end], &text[end..]))
}

/// Says what is wrong without the crate's own count of lines.
fn not_json(error: &serde_json::Error) -> InvalidParams {
    let text = error.to_string();
    let (what, _) = text.rsplit_once(" at line ").unwrap_or((&text, ""));
    InvalidParams::NotJson(format!("{what} (column {})", error.column()))
}

#[cfg(test)]
mod tests;
