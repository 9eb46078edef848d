//! How anything is refused: what, why, what to do, and a stable code.

use std::{error::Error, fmt};

use serde::{Deserialize, Serialize};

use crate::{code::Code, limits::written::InvalidLimit, name::InvalidName, status::UnknownWord};

/// Longest part of a wrong text that is repeated, in characters.
const MAX_SHOWN: usize = 80;

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

impl Error for Problem {}

/// Returns the code of what is wrong with a text that was read, where it has one of its own.
pub fn code_of(error: &(dyn Error + 'static)) -> Option<Code> {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    causes.find_map(|cause| {
        if cause.is::<InvalidName>() {
            Some(Code::BadName)
        } else if let Some(word) = cause.downcast_ref::<UnknownWord>() {
            word.is_role().then_some(Code::NoSuchRole)
        } else {
            Some(cause.downcast_ref::<InvalidLimit>()?.code())
        }
    })
}

/// Quotes a text that somebody wrote so that it reads as what it is: no line break, no control, and no letter that
/// only looks like another.
pub fn shown(text: &str) -> String {
    let mut shown = String::from("\"");
    for c in text.chars().take(MAX_SHOWN) {
        match c {
            ' '..='~' => shown.push(c),
            foreign => shown += &format!("<{}>", code_point(foreign)),
        }
    }
    if text.chars().nth(MAX_SHOWN).is_some() {
        shown.push('…');
    }
    shown.push('"');
    shown
}

/// Returns `U+202E`.
pub(crate) fn code_point(c: char) -> String {
    format!("U+{:04X}", u32::from(c))
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dataset::DatasetRef, invitee::Invitee, limits::written::Time, name::Name, status::Role,
    };

    #[test]
    fn a_text_that_somebody_wrote_shows_what_it_is_made_of() {
        assert_eq!(shown("lab"), "\"lab\"");
        assert_eq!(
            shown("l\u{430}b\u{202e}\n"),
            "\"l<U+0430>b<U+202E><U+000A>\""
        );
        assert_eq!(shown(&"x".repeat(81)), format!("\"{}…\"", "x".repeat(80)));
    }

    #[test]
    fn what_is_wrong_has_a_code_wherever_in_a_text_it_is() {
        #[track_caller]
        fn check<T: std::str::FromStr<Err: Error + 'static>>(text: &str, expect: Option<&Code>) {
            let error = text.parse::<T>().err().expect(text);
            assert_eq!(code_of(&error).as_ref(), expect, "{text}");
        }
        check::<Name>("Bob", Some(&Code::BadName));
        check::<Invitee>("Bob", Some(&Code::BadName));
        check::<DatasetRef>("l\u{430}b@2", Some(&Code::BadName));
        check::<DatasetRef>("lab@two", None);
        check::<Role>("boss", Some(&Code::NoSuchRole));
        check::<crate::status::Access>("boss", None);
        check::<Time>("-1h", Some(&Code::NegativeNumber));
    }
}
