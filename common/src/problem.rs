//! How anything is refused: what, why, what to do, and a stable code.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::code::Code;

/// Longest line of a problem, in bytes; longer ones are cut where they are made.
pub const MAX_LINE_BYTES: usize = 2048;

/// What a person or program is told when something cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub code: Code,
    /// What could not be done.
    pub what: String,
    /// Why, naming the values involved; may be several lines where several things stand in the way.
    pub why: String,
    /// What to do about it.
    pub help: String,
}

impl Problem {
    /// Makes a problem with the code's own line of help.
    pub fn new(code: Code, what: impl Into<String>, why: impl Into<String>) -> Self {
        let help = code.help().to_owned();
        Self {
            code,
            what: cut(what.into()),
            why: cut(why.into()),
            help,
        }
    }

    /// Replaces the help by something more to the point.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = cut(help.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.what, self.why, self.code)
    }
}

impl std::error::Error for Problem {}

fn cut(mut text: String) -> String {
    if text.len() > MAX_LINE_BYTES {
        let end = (0..=MAX_LINE_BYTES - 3)
            .rev()
            .find(|&i| text.is_char_boundary(i))
            .unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}
