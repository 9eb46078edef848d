//! Whose a process is: everything in an attempt's sandbox descends from its supervisor, whatever it does to get
//! away, and however well the machine can isolate it.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use agent_core::gpu::Whose;
use common::id::AttemptId;

use crate::supervise::ROLE;

/// Most ancestors that are looked at.
const MAX_ANCESTORS: u32 = 256;

/// Returns whose a process is. `attempts` is the folder of this agent's attempts.
pub(super) fn whose(pid: u32, attempts: &Path) -> Whose {
    let Some(mut next) = parent(pid) else {
        return Whose::Unseen;
    };
    // The last that is found is the supervisor: what a job calls itself is below it.
    let mut found = supervised(pid, attempts);
    for _ in 0..MAX_ANCESTORS {
        if next <= 1 {
            break;
        }
        found = supervised(next, attempts).or(found);
        let Some(above) = parent(next) else {
            break;
        };
        next = above;
    }
    found.map_or(Whose::Others, Whose::Attempt)
}

/// Returns the parent of a process; `None` where there is no such process.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // A program's name may hold anything, and is in the last pair of brackets.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// Returns the attempt that this very process supervises.
fn supervised(pid: u32, attempts: &Path) -> Option<AttemptId> {
    let path = format!("/proc/{pid}");
    let owner = fs::metadata(&path).ok()?.uid();
    if owner != rustix::process::geteuid().as_raw() {
        return None;
    }
    let line = fs::read(format!("{path}/cmdline")).ok()?;
    let mut words = line.split(|byte| *byte == 0).skip(1);
    if words.next()? != ROLE.as_bytes() {
        return None;
    }
    let folder = Path::new(std::str::from_utf8(words.next()?).ok()?);
    if folder.parent()? != attempts {
        return None;
    }
    folder.file_name()?.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader},
        process::{Command, Stdio},
    };

    use common::id::JobId;

    use super::*;

    /// Starts a process below itself, and below another that says that it supervises the second word's folder.
    const SUPERVISE: &str =
        "if [ \"$2\" ]; then bash supervise \"$2\" & else sleep 60 & echo $!; fi; wait";

    fn attempt(number: u32) -> AttemptId {
        AttemptId {
            job: JobId::from_bytes([3; 16]),
            task: 0,
            number,
        }
    }

    #[test]
    fn what_descends_from_a_supervisor_is_its_attempts_whatever_it_calls_itself() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join(ROLE), SUPERVISE).unwrap();
        let attempts = temp.path().join("attempts");
        let [first, second] = [1, 2].map(|number| attempts.join(attempt(number).to_string()));
        let mut child = Command::new("bash")
            .arg(ROLE)
            .args([&first, &second])
            .current_dir(temp.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let below: i32 = line.trim().parse().unwrap();
        let pid = u32::try_from(below).unwrap();
        assert_eq!(whose(pid, &attempts), Whose::Attempt(attempt(1)));
        assert_eq!(whose(child.id(), &attempts), Whose::Attempt(attempt(1)));
        assert_eq!(whose(pid, Path::new("/elsewhere")), Whose::Others);
        let below = rustix::process::Pid::from_raw(below).unwrap();
        rustix::process::kill_process(below, rustix::process::Signal::KILL).unwrap();
        child.wait().unwrap();
        assert_eq!(whose(pid, &attempts), Whose::Unseen);
    }

    #[test]
    fn who_is_not_below_us_is_others_and_a_number_of_nobody_is_unseen() {
        let attempts = Path::new("/nowhere/attempts");
        assert_eq!(whose(std::process::id(), attempts), Whose::Others);
        assert_eq!(whose(0, attempts), Whose::Unseen);
        assert_eq!(whose(u32::MAX, attempts), Whose::Unseen);
    }
}
