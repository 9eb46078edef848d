//! What the program prints: answers on standard output, problems on standard error, for people or as JSON.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use common::{code::Code, join_link::JoinLink, name::Name, problem::Problem, units::Bytes};
use coordinator::{AddOrgOutcome, Checked};
use serde_json::json;

use crate::arguments::Format;

/// How to print.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Option<Format>,
}

impl Output {
    pub(crate) const fn new(format: Option<Format>) -> Self {
        Self { format }
    }

    /// Prints a link alone on its line.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn link(&self, link: &JoinLink) -> Result<(), Problem> {
        match self.format {
            Some(Format::Json) => print(&json!({"link": link.to_string()}).to_string()),
            None => print(&link.to_string()),
        }
    }

    /// Prints the link of an owner who is new, alone on its line, or says that the owner is known.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn added_org(
        &self,
        org: &Name,
        owner: &Name,
        outcome: &AddOrgOutcome,
    ) -> Result<(), Problem> {
        let link = match outcome {
            AddOrgOutcome::NewOwner { link } => Some(link.to_string()),
            AddOrgOutcome::KnownOwner => None,
        };
        if self.format == Some(Format::Json) {
            let new_user = link.is_some();
            let answer = json!({"org": org, "owner": owner, "new_user": new_user, "link": link});
            return print(&answer.to_string());
        }
        print(&link.unwrap_or_else(|| {
            format!("{owner} is known here, owns {org} now, and needs no new sign-in.")
        }))
    }

    /// Prints what a sound data folder holds.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn checked(&self, checked: &Checked) -> Result<(), Problem> {
        if self.format == Some(Format::Json) {
            return print(&json!(checked).to_string());
        }
        let mut lines = vec![format!("The store (version {}) is sound.", checked.version)];
        for table in &checked.tables {
            lines.push(format!("{:>10}  {}", table.rows, table.table));
        }
        lines.push(format!("{:>10}  events", checked.events));
        lines.extend(
            checked
                .seal
                .iter()
                .map(|seal| format!("{:>10}  seal of the newest: {seal}", "")),
        );
        let bytes = Bytes(checked.log_bytes);
        lines.push(format!("{:>10}  logs ({bytes})", checked.logs));
        let damaged = checked.damaged_trees.iter();
        lines.extend(damaged.map(|tree| format!("{:>10}  tree {tree} is damaged", "")));
        let damaged = checked.damaged_pieces.iter();
        lines.extend(damaged.map(|piece| format!("{:>10}  piece {piece} is damaged", "")));
        let damaged = checked.damaged_packs.iter();
        lines.extend(damaged.map(|pack| format!("{:>10}  {pack} is cut short", "")));
        print(&lines.join("\n"))
    }

    /// Prints what went wrong, and returns what the process should.
    pub(crate) fn problem(&self, problem: &Problem) -> ExitCode {
        let Problem {
            code,
            what,
            why,
            help,
        } = problem;
        let text = match self.format {
            Some(Format::Json) => {
                let message = format!("{what}: {why}");
                let error = json!({"code": code.as_str(), "message": message, "help": help});
                json!({ "error": error }).to_string()
            }
            // As the members' command line writes it.
            None => format!("error[{code}]: {what}\n  why: {why}\n help: {help}"),
        };
        // There is nowhere left to say that this cannot be written.
        let _ = writeln!(anstream::stderr(), "{text}");
        ExitCode::from(problem.code.exit_class() as u8)
    }
}

fn print(text: &str) -> Result<(), Problem> {
    match writeln!(anstream::stdout(), "{text}") {
        // Whoever closed the pipe has read enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let what = "The answer cannot be printed";
            Err(Problem::new(Code::Io, what, error.to_string()))
        }
        _ => Ok(()),
    }
}
