//! `cargo xtask escape-table`: what a job tried in every way there is, collected from the notes that the sandbox
//! tests leave, and compared with the table in `SECURITY.md`.
//!
//! A note is one line: row, backend, level, test, verdict, parted by tabs. A verdict is `held`, `no: REASON`, or
//! `broke` where the test did not come to its end.

mod rows;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::PathBuf,
};

use anyhow::{Context, Result, bail, ensure};

use self::rows::{ROWS, Row, Shown};
use crate::{
    steps::Outcome,
    workspace::{self, cargo, root, target},
};

/// Tells the tests where to leave their notes.
pub(crate) const NOTES: &str = "COMPUTE_SHARE_ESCAPE_NOTES";
const FILE: &str = "SECURITY.md";
const BEGIN: &str = "<!-- escape table: `cargo xtask escape-table --write` -->\n";
const END: &str = "<!-- end of the escape table -->\n";
/// Backend and level of each column. Level B needs systemd: `cargo xtask vm` tries it.
const COLUMNS: [(&str, &str); 4] = [
    ("native", "A"),
    ("native", "C"),
    ("bubblewrap", "A"),
    ("bubblewrap", "C"),
];
const HELD: &str = "held";
const REFUSED: &str = "no: ";

/// Returns the folder for notes, empty.
///
/// # Errors
/// It cannot be made.
pub(crate) fn fresh_notes() -> Result<PathBuf> {
    let folder = target()?.join("escape-notes");
    if folder.exists() {
        fs::remove_dir_all(&folder).context("cannot clear the old notes")?;
    }
    fs::create_dir_all(&folder).context("cannot make the folder for notes")?;
    Ok(folder)
}

/// Runs the sandbox tests, unless what is `noted` will do, and looks at what they noted; `write` puts the table in its place.
///
/// # Errors
/// A test failed, a row is missing or broke, or the table differs.
pub(crate) fn run(write: bool, noted: bool) -> Result<()> {
    let tested = if noted { Ok(()) } else { test() };
    let table = Table::read()?;
    println!("{}", table.text(&COLUMNS));
    tested?;
    if write {
        table.sound(&COLUMNS)?;
        return table.write();
    }
    match table.compare()? {
        Outcome::Skipped(reason) => println!("{reason}"),
        Outcome::Passed | Outcome::Failed(_) => {}
    }
    Ok(())
}

fn test() -> Result<()> {
    let notes = fresh_notes()?;
    let mut tests = cargo(&["nextest", "run", "-p", "compute-share", "--test", "sandbox"]);
    tests
        .args(["--locked", "--no-fail-fast"])
        .env(NOTES, &notes);
    workspace::run(&mut tests)
}

/// Looks at what the tests have noted already.
///
/// # Errors
/// A row is missing or broke, or the table differs.
pub(crate) fn check() -> Result<Outcome> {
    let table = Table::read()?;
    println!("{}", table.text(&COLUMNS));
    table.compare()
}

/// What became of a row in one way, of all its tests together.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Held,
    NotHeld(String),
    Broke(String),
}

/// Verdicts by row and column.
#[derive(Debug, Default)]
struct Table {
    cells: BTreeMap<(String, (String, String)), Verdict>,
}

impl Table {
    fn read() -> Result<Self> {
        let folder = target()?.join("escape-notes");
        let mut table = Self::default();
        let entries = fs::read_dir(&folder).context("there are no notes of sandbox tests")?;
        for entry in entries {
            let text = fs::read_to_string(entry?.path())?;
            text.lines().try_for_each(|line| table.add(line))?;
        }
        Ok(table)
    }

    fn add(&mut self, line: &str) -> Result<()> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [row, backend, level, test, verdict] = fields[..] else {
            bail!("not a note: {line}");
        };
        ensure!(
            ROWS.iter().any(|known| known.name == row),
            "{test} stands for row {row}, which the list does not have"
        );
        let verdict = match verdict.strip_prefix(REFUSED) {
            Some(reason) => Verdict::NotHeld(reason.to_owned()),
            None if verdict == HELD => Verdict::Held,
            None => Verdict::Broke(test.to_owned()),
        };
        let key = (row.to_owned(), (backend.to_owned(), level.to_owned()));
        match self.cells.get(&key) {
            // The worst of a row's tests counts.
            Some(Verdict::Broke(_)) => {}
            Some(Verdict::NotHeld(_)) if verdict == Verdict::Held => {}
            _ => {
                self.cells.insert(key, verdict);
            }
        }
        Ok(())
    }

    fn cell(&self, row: &Row, (backend, level): (&str, &str)) -> Option<&Verdict> {
        let column = (backend.to_owned(), level.to_owned());
        self.cells.get(&(row.name.to_owned(), column))
    }

    /// Returns the columns that this machine and user could try.
    fn tried(&self) -> Vec<(&'static str, &'static str)> {
        let tried: BTreeSet<(&str, &str)> = self
            .cells
            .keys()
            .map(|(_, (backend, level))| (backend.as_str(), level.as_str()))
            .collect();
        COLUMNS
            .into_iter()
            .filter(|column| tried.contains(column))
            .collect()
    }

    /// Every row that the tests stand for was tried in each of these columns and came to an end.
    fn sound(&self, columns: &[(&str, &str)]) -> Result<()> {
        let mut wrong = Vec::new();
        for row in ROWS.iter().filter(|row| row.shown == Shown::Here) {
            for &(backend, level) in columns {
                match self.cell(row, (backend, level)) {
                    None => wrong.push(format!(
                        "{} was not tried: {backend}, level {level}",
                        row.name
                    )),
                    Some(Verdict::Broke(test)) => {
                        wrong.push(format!(
                            "{} broke: {backend}, level {level}, {test}",
                            row.name
                        ));
                    }
                    Some(Verdict::Held | Verdict::NotHeld(_)) => {}
                }
            }
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    }

    fn text(&self, columns: &[(&str, &str)]) -> String {
        let mut reasons: Vec<&str> = Vec::new();
        let mut text = String::from("| row | the job tries |");
        for (backend, level) in columns {
            let _ = write!(text, " {backend}, {level} |");
        }
        text += "\n|---|---|";
        text += &"---|".repeat(columns.len());
        text.push('\n');
        for row in ROWS {
            let _ = write!(text, "| {} | {} |", row.name, row.tries);
            for &column in columns {
                let cell = match (self.cell(row, column), row.shown) {
                    (Some(Verdict::Held), _) => "held".to_owned(),
                    (Some(Verdict::NotHeld(reason)), _) => {
                        let known = reasons.iter().position(|known| known == reason);
                        let index = known.unwrap_or_else(|| {
                            reasons.push(reason);
                            reasons.len() - 1
                        });
                        format!("no ({})", index + 1)
                    }
                    (Some(Verdict::Broke(_)), _) => "BROKE".to_owned(),
                    (None, Shown::Elsewhere(place)) => place.to_owned(),
                    (None, Shown::Here) => "not tried".to_owned(),
                };
                let _ = write!(text, " {cell} |");
            }
            text.push('\n');
        }
        for (index, reason) in reasons.iter().enumerate() {
            let _ = write!(text, "\n{}. {reason}", index + 1);
        }
        text.push('\n');
        text
    }

    /// Compares with the committed table as far as this machine and user can.
    fn compare(&self) -> Result<Outcome> {
        let tried = self.tried();
        self.sound(&tried)?;
        if tried.len() < COLUMNS.len() {
            let why = "not every level can be tried here (as root, with cgroups, all are); what was tried held, \
                       and the table as a whole was not compared";
            return Ok(Outcome::Skipped(why.to_owned()));
        }
        let (_, committed, _) = parts()?;
        ensure!(
            committed == self.text(&COLUMNS),
            "{FILE} has another table; `cargo xtask escape-table --write` puts this one there"
        );
        Ok(Outcome::Passed)
    }

    fn write(&self) -> Result<()> {
        let (before, _, after) = parts()?;
        let text = format!("{before}{BEGIN}{}{END}{after}", self.text(&COLUMNS));
        fs::write(root().join(FILE), text).context("cannot write the table")
    }
}

/// Returns the committed file: before the table, the table, after it.
fn parts() -> Result<(String, String, String)> {
    let text =
        fs::read_to_string(root().join(FILE)).with_context(|| format!("cannot read {FILE}"))?;
    let split = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (table, after) = rest.split_once(END)?;
        Some((before.to_owned(), table.to_owned(), after.to_owned()))
    });
    split.with_context(|| format!("{FILE} has no place for the table"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(lines: &[&str]) -> Table {
        let mut table = Table::default();
        lines.iter().for_each(|line| table.add(line).unwrap());
        table
    }

    #[test]
    fn the_worst_of_a_rows_tests_counts() {
        let lines = [
            "F1\tnative\tA\tfirst\tno: because",
            "F1\tnative\tA\tsecond\theld",
            "F2\tnative\tA\tthird\tbroke",
            "F2\tnative\tA\tfourth\theld",
        ];
        let text = table(&lines).text(&COLUMNS);
        assert!(text.contains("| no (1) | not tried |"), "{text}");
        assert!(
            text.contains("| BROKE |") && text.contains("\n1. because\n"),
            "{text}"
        );
    }

    #[test]
    fn a_row_that_nobody_tried_is_an_error() {
        let error = table(&["F1\tnative\tA\ttest\theld"])
            .compare()
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("F2 was not tried") && !error.contains("F1 was"),
            "{error}"
        );
        assert!(Table::default().add("Z9\tnative\tA\ttest\theld").is_err());
    }

    #[test]
    fn every_row_is_listed_once() {
        let names: BTreeSet<&str> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
        assert_eq!(
            ROWS.iter().filter(|row| row.name.starts_with('F')).count(),
            28
        );
    }
}
