//! Lines of a file that somebody else wrote, and what is said of one that is not what it should be.

use common::{
    code::Code,
    problem::{Problem, shown},
};

/// Longest line that is read, in bytes.
pub(super) const MAX_LINE: usize = 64 << 10;

/// Returns what is wrong with a line, counted from 1.
pub(super) fn bad_line(title: &str, number: usize, why: &str) -> Problem {
    let what = format!("line {number} of {} was not understood", shown(title));
    Problem::new(Code::BadRequest, what, why)
        .help("Correct the line, or take it out; `cargo xtask simulate --help` says which formats are read.")
}

/// Returns lines that are neither empty nor too long, with their numbers.
pub(super) fn lines<'a>(
    title: &'a str,
    text: &'a str,
) -> impl Iterator<Item = Result<(usize, &'a str), Problem>> {
    let numbered = (1..).zip(text.lines());
    let filled = numbered.filter(|(_, line)| !line.trim().is_empty());
    filled.map(move |(number, line)| {
        if line.len() > MAX_LINE {
            let why = format!("it is longer than {MAX_LINE} bytes");
            return Err(bad_line(title, number, &why));
        }
        Ok((number, line.trim_end_matches('\r')))
    })
}
