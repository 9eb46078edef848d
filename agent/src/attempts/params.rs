//! The parameters of an attempt's task: its line of the tree that came with the job, and what that makes of the
//! command.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use agent_core::params::{Filled, LINES, MAX_LINE_BYTES, OFFSET_BYTES, OFFSETS, Params};
use common::{code::Code, problem::Problem};
use link::trees::{io_problem, on_disk};

use super::{Work, prepare};

/// What did not work.
const WHAT: &str = "the task's parameters cannot be used";
/// What owners read of such data.
const PARAMETERS: &str = "(parameters)";

/// Returns what the task is to run; `None` where its job has no parameters.
pub(super) async fn fetch(work: &Work) -> Result<Option<Filled>, Problem> {
    let Some(tree) = work.spec.params else {
        return Ok(None);
    };
    let pinned = prepare::fetch(work, tree, PARAMETERS).await?;
    let (task, spec) = (work.attempt.task, work.spec.clone());
    let filled = on_disk(move || {
        let line = line(pinned.path(), task)?;
        let filled = Params::parse(&line).and_then(|params| params.fill(&spec.command));
        filled.map_err(|error| of_line(task, &error.to_string()))
    });
    filled.await.map(Some)
}

/// Reads the task's line. A stranger may have made the files.
fn line(folder: &Path, task: u32) -> Result<Vec<u8>, Problem> {
    let open = |name| File::open(folder.join(name)).map_err(|error| io_problem(WHAT, &error));
    let (offsets, lines) = (open(OFFSETS)?, open(LINES)?);
    let read = |file: &File, into: &mut [u8], at| {
        let read = file.read_exact_at(into, at);
        read.map_err(|error| match error.kind() {
            // The kernel takes no place beyond the half of a `u64`.
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput => {
                of_line(task, "is not there")
            }
            _ => io_problem(WHAT, &error),
        })
    };
    let mut ends = [[0; 8]; 2];
    read(
        &offsets,
        ends.as_flattened_mut(),
        u64::from(task) * OFFSET_BYTES,
    )?;
    let [begin, end] = ends.map(u64::from_le_bytes);
    let length = end
        .checked_sub(begin)
        .and_then(|bytes| usize::try_from(bytes).ok());
    let length = length.filter(|bytes| (1..=MAX_LINE_BYTES + 1).contains(bytes));
    let length = length.ok_or_else(|| of_line(task, "is not where it is said to be"))?;
    let mut line = vec![0; length];
    read(&lines, &mut line, begin)?;
    match line.pop() {
        Some(b'\n') => Ok(line),
        _ => Err(of_line(task, "is not where it is said to be")),
    }
}

/// Says what is wrong with the task's line, which people count from 1.
fn of_line(task: u32, why: &str) -> Problem {
    let line = u64::from(task) + 1;
    Problem::new(Code::BadParams, WHAT, format!("line {line} {why}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn written(lines: &[u8], offsets: &[u64]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let offsets: Vec<u8> = offsets.iter().flat_map(|at| at.to_le_bytes()).collect();
        fs::write(folder.path().join(LINES), lines).unwrap();
        fs::write(folder.path().join(OFFSETS), offsets).unwrap();
        folder
    }

    #[test]
    fn a_line_is_found_without_the_others() {
        let folder = written(b"{}\n{\"a\": 1}\n", &[0, 3, 12]);
        assert_eq!(line(folder.path(), 0).unwrap(), b"{}");
        assert_eq!(line(folder.path(), 1).unwrap(), b"{\"a\": 1}");
        let missing = line(folder.path(), 2).unwrap_err();
        assert_eq!(missing.why, "line 3 is not there");
        let missing = line(folder.path(), u32::MAX).unwrap_err();
        assert_eq!(missing.why, "line 4294967296 is not there");
    }

    #[test]
    fn files_that_a_stranger_made_up_are_refused() {
        let refused = |lines: &[u8], offsets: &[u64]| {
            let folder = written(lines, offsets);
            let problem = line(folder.path(), 0).unwrap_err();
            assert_eq!(
                (problem.what.as_str(), problem.code),
                (WHAT, Code::BadParams)
            );
            problem.why
        };
        let misplaced = "line 1 is not where it is said to be";
        assert_eq!(refused(b"{}\n", &[3, 0]), misplaced);
        assert_eq!(refused(b"{}\n", &[0, 0]), misplaced);
        assert_eq!(refused(b"{}\n", &[0, 2]), misplaced, "no line feed");
        assert_eq!(refused(b"{}\n", &[0, u64::MAX]), misplaced);
        let long = MAX_LINE_BYTES as u64 + 2;
        assert_eq!(
            refused(b"{}\n", &[0, long]),
            misplaced,
            "nothing so long is taken in"
        );
        assert_eq!(refused(b"{}\n", &[0, 4]), "line 1 is not there");
        assert_eq!(
            refused(b"{}\n", &[u64::MAX - 3, u64::MAX]),
            "line 1 is not there"
        );
        assert_eq!(refused(b"{}\n", &[0]), "line 1 is not there");
        let folder = written(b"{}\n", &[0, 3]);
        fs::remove_file(folder.path().join(LINES)).unwrap();
        assert_eq!(line(folder.path(), 0).unwrap_err().what, WHAT);
        fs::create_dir(folder.path().join(LINES)).unwrap();
        assert_eq!(line(folder.path(), 0).unwrap_err().what, WHAT);
    }
}
