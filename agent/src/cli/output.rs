//! How a command says what it found: a table or sentences for people, one JSON document for programs, ids alone
//! for scripts. Results go to stdout, everything else to stderr.

use std::io::{IsTerminal, Write};

use common::{code::Code, problem::Problem};
use serde::Serialize;
use serde_json::json;

use super::escape;

/// Headings and the names of fields.
pub(crate) const BOLD: anstyle::Style = anstyle::Style::new().bold();
pub(crate) const RED: anstyle::Style = coloured(anstyle::AnsiColor::Red).bold();
pub(crate) const GREEN: anstyle::Style = coloured(anstyle::AnsiColor::Green);
pub(crate) const YELLOW: anstyle::Style = coloured(anstyle::AnsiColor::Yellow);
const CYAN: anstyle::Style = coloured(anstyle::AnsiColor::Cyan);
pub(crate) const DIM: anstyle::Style = anstyle::Style::new().dimmed();

const fn coloured(colour: anstyle::AnsiColor) -> anstyle::Style {
    anstyle::Style::new().fg_color(Some(anstyle::Color::Ansi(colour)))
}

/// For whom results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Tables and sentences.
    #[default]
    Human,
    /// One JSON document.
    Json,
}

/// Where results go and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) format: Format,
    /// Only ids, one a line.
    pub(crate) quiet: bool,
}

impl Output {
    /// Prints a result: as JSON whatever `value` is, for people what `human` makes of it, and with `-q` what
    /// `ids` finds in it.
    pub(crate) fn show<T: Serialize + ?Sized>(
        self,
        value: &T,
        ids: impl FnOnce(&T) -> Vec<String>,
        human: impl FnOnce(&T) -> String,
    ) -> Result<(), Problem> {
        match (self.format, self.quiet) {
            (Format::Json, _) => {
                let text = serde_json::to_string_pretty(value).map_err(|error| {
                    Problem::new(Code::Internal, "cannot show the result", error.to_string())
                })?;
                print(&text)
            }
            (Format::Human, true) => print(&ids(value).join("\n")),
            (Format::Human, false) => print(&human(value)),
        }
    }

    /// Says that something is done: a sentence for people, a small document for programs.
    pub(crate) fn done(self, value: &serde_json::Value, sentence: &str) -> Result<(), Problem> {
        self.show(value, |_| Vec::new(), |_| sentence.to_owned())
    }

    /// Tells people something that is not the result.
    pub(crate) fn note(self, text: &str) {
        if self.format == Format::Human && !self.quiet {
            // Nothing can be done for somebody who closed stderr.
            let _ = writeln!(anstream::stderr(), "{DIM}{}{DIM:#}", escape::line(text));
        }
    }

    /// Whether a bar or a line that is overwritten may be drawn.
    pub(crate) fn draws(self) -> bool {
        self.format == Format::Human && !self.quiet && std::io::stderr().is_terminal()
    }
}

/// Prints `text` and a line break to stdout. Whoever reads may stop reading (`… | head`).
fn print(text: &str) -> Result<(), Problem> {
    if text.is_empty() {
        return Ok(());
    }
    let mut out = anstream::stdout();
    let printed = writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush());
    written(printed)
}

/// Turns a failed write to stdout into a problem, unless the reader only went away.
pub(crate) fn written(result: std::io::Result<()>) -> Result<(), Problem> {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Problem::new(
            Code::Io,
            "cannot print the result",
            error.to_string(),
        )),
        _ => Ok(()),
    }
}

/// Reports a problem on stderr.
pub(crate) fn report(problem: &Problem, format: Format) {
    let text = match format {
        Format::Json => json_problem(problem),
        Format::Human => human_problem(problem),
    };
    let _ = writeln!(anstream::stderr(), "{text}");
}

fn json_problem(problem: &Problem) -> String {
    let message = format!("{}: {}", problem.what, problem.why);
    let (code, help) = (problem.code.as_str(), &problem.help);
    json!({"error": {"code": code, "message": message, "help": help}}).to_string()
}

fn human_problem(problem: &Problem) -> String {
    let Problem {
        code,
        what,
        why,
        help,
    } = problem;
    let what = lines(what);
    let mut text = format!("{RED}error[{code}]{RED:#}{BOLD}: {what}{BOLD:#}");
    for (heading, body) in [("  why", why), (" help", help)] {
        if !body.is_empty() {
            text += &format!("\n{CYAN}{heading}{CYAN:#}: {}", lines(body));
        }
    }
    text
}

/// Indents further lines below the first, and hides what a terminal would obey in texts that others wrote.
fn lines(text: &str) -> String {
    let shown: Vec<String> = text.trim_end().lines().map(escape::line).collect();
    shown.join("\n       ")
}

/// Lines of `name  value`, the names in a column of their own.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    rows: Vec<(&'static str, String)>,
}

impl Facts {
    /// Adds a line; nothing where there is nothing to say.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers make most values just for this"
    )]
    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        let value = value.to_string();
        if !value.is_empty() {
            self.rows.push((name, value));
        }
        self
    }

    #[must_use]
    pub(crate) fn with_some(self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.with(
            name,
            value.map(|value| value.to_string()).unwrap_or_default(),
        )
    }

    pub(crate) fn to_text(&self) -> String {
        let width = self.rows.iter().map(|(name, _)| name.len()).max();
        let width = width.unwrap_or(0);
        let rows = self.rows.iter().map(|(name, value)| {
            let mut values = value.lines().map(escape::line);
            let first = values.next().unwrap_or_default();
            let mut text = format!("{BOLD}{name:width$}{BOLD:#}  {first}\n");
            for value in values {
                text += &format!("{:width$}  {value}\n", "");
            }
            text
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_problem_is_three_lines_and_a_code() {
        let problem = Problem::new(Code::NotFound, "there is no job 42", "lab has none");
        assert_eq!(
            plain(&human_problem(&problem)),
            "error[not_found]: there is no job 42\n  why: lab has none\n help: Check the name or number; what you \
             may not see counts as not found."
        );
        let value: serde_json::Value = serde_json::from_str(&json_problem(&problem)).unwrap();
        assert_eq!(value["error"]["code"], "not_found");
        assert_eq!(
            value["error"]["message"],
            "there is no job 42: lab has none"
        );
        assert!(
            value["error"]["help"]
                .as_str()
                .unwrap()
                .starts_with("Check")
        );
    }

    #[test]
    fn a_problem_cannot_forge_a_terminal() {
        let problem = Problem::new(Code::Io, "a\u{1b}[2J", "b\nc\u{7}");
        let text = plain(&human_problem(&problem));
        assert!(
            text.starts_with("error[io_error]: a\\u{1b}[2J\n  why: b\n       c\\u{7}\n"),
            "{text}"
        );
    }

    #[test]
    fn facts_align_and_leave_out_what_is_not_there() {
        let facts = Facts::default()
            .with("name", "bob")
            .with_some("reason", None::<String>)
            .with("missing", "one\ntwo");
        assert_eq!(
            plain(&facts.to_text()),
            "name     bob\nmissing  one\n         two\n"
        );
    }
}
