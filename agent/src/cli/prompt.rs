//! Asking for what nobody should see: passwords and codes.

use std::io::{BufRead as _, IsTerminal as _, Read as _};

use common::{code::Code, problem::Problem};

/// Longest line that is read from stdin.
const MAX_LINE_BYTES: u64 = 8 << 10;

const ON_STDIN: &str = "Add --stdin and write it to stdin, on a line of its own; --help shows how.";

/// Returns whether there is somebody to ask.
pub(crate) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Checks that a password can be asked for, before anything else is done.
pub(crate) fn expect_somebody() -> Result<(), Problem> {
    if can_ask() {
        Ok(())
    } else {
        Err(nobody(ON_STDIN))
    }
}

/// Asks for a code of two-factor, shown as it is typed: it is good once.
pub(crate) fn code() -> Result<String, Problem> {
    let asked = dialoguer::Input::<String>::new().with_prompt("Code of your two-factor app");
    let instead = "Give the code with --code.";
    asked
        .interact_text()
        .map_err(|error| cannot(&error, instead))
}

/// Asks for the password that is set now.
pub(crate) fn present_password() -> Result<String, Problem> {
    let asked = dialoguer::Password::new().with_prompt("Present password");
    asked.interact().map_err(|error| cannot(&error, ON_STDIN))
}

/// Asks for a new password, twice.
pub(crate) fn new_password() -> Result<String, Problem> {
    let asked = dialoguer::Password::new()
        .with_prompt("New password")
        .with_confirmation("Once more", "These were two different ones");
    asked.interact().map_err(|error| cannot(&error, ON_STDIN))
}

/// Reads one line of stdin.
pub(crate) fn line(what: &str) -> Result<String, Problem> {
    let mut line = String::new();
    let mut stdin = std::io::stdin().lock().take(MAX_LINE_BYTES);
    let read = stdin.read_line(&mut line);
    read.map_err(|error| Problem::new(Code::Io, "cannot read stdin", error.to_string()))?;
    let line = line.trim_end_matches(['\n', '\r']);
    if line.is_empty() {
        let why = format!("stdin has no line with {what}");
        return Err(Problem::new(Code::BadRequest, "nothing was done", why)
            .help("Give it on a line of its own."));
    }
    Ok(line.to_owned())
}

fn cannot(error: &dialoguer::Error, instead: &str) -> Problem {
    if can_ask() {
        return Problem::new(Code::Io, "cannot ask", error.to_string());
    }
    nobody(instead)
}

/// Says that there is nobody to ask, and what to do instead.
fn nobody(instead: &str) -> Problem {
    let why = "stdin and stderr are not both a terminal";
    Problem::new(Code::BadRequest, "nobody can be asked", why).help(instead)
}
