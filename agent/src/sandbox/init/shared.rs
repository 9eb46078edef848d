//! The first process of a sandbox that tasks of one job share, one after the other.
//!
//! A job is isolated from others, not from itself. Still, what a task finds is what it would find in a sandbox of its
//! own: every process of the one before is gone, its files in memory, its queues, its connections. Where this process
//! cannot tell, or cannot remove something, it ends, and the sandbox with it.

use std::{
    fs,
    io::{self, BufReader, Read as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::PermissionsExt as _,
    },
    path::Path,
    time::Duration,
};

use agent_core::sandbox_plan::{Content, SandboxPlan};
use rustix::{io::fcntl_dupfd_cloexec, process::WaitOptions};

use super::{Ends, Failed, Start, at, build, exit, heard, reap, start, tell};
use crate::sandbox::{
    note::{NEXT, Note},
    system,
};

/// Largest plan that is read, in bytes; the supervisor reads no larger one.
const MAX_PLAN_BYTES: u64 = 16 << 20;
/// Where message queues are shown.
const QUEUES: &str = "/dev/mqueue";
/// Files that show what is left in the kernel of System V's ways to talk: a line each, below a heading.
const SYSTEM_V: [&str; 3] = [
    "/proc/sysvipc/shm",
    "/proc/sysvipc/sem",
    "/proc/sysvipc/msg",
];
/// Files that count the network's sockets.
const SOCKETS: [&str; 2] = ["/proc/net/sockstat", "/proc/net/sockstat6"];

/// What one task is started with.
struct Task {
    plan: SandboxPlan,
    /// Its attempt's: held as long as anything of it runs.
    lock: OwnedFd,
    streams: [OwnedFd; 2],
}

/// Is the first process, from the moment it exists to its end.
pub(super) fn run(plan: &SandboxPlan, ends: Ends<'_>) -> ! {
    let control = ends.control;
    let streams = [ends.stdout, ends.stderr];
    let made = build(plan, ends.has_network, &control).and_then(|signals| {
        let lock = fcntl_dupfd_cloexec(ends.lock, 3).map_err(at("hold the attempt"))?;
        // What else the supervisor had open belongs to its first attempt alone.
        let [stdout, stderr] = &streams;
        let kept = [&control, &signals, &lock, stdout, stderr].map(OwnedFd::as_fd);
        system::close_all_but(kept).map_err(at("close what is not needed"))?;
        Ok((signals, lock))
    });
    let (signals, lock) = match made {
        Ok(made) => made,
        Err(failed) => {
            tell(&control, &Note::Failed(failed.to_string()));
            exit(0)
        }
    };
    let mut next = Some(Task {
        plan: plan.clone(),
        lock,
        streams,
    });
    let standing = standing();
    let mut took = Duration::ZERO;
    while let Some(task) = next.take() {
        let over = attend(task, &signals, &control, &mut took);
        // A task has this process's user, and may have changed what the next one would begin with.
        if !over || standing.is_none() || self::standing() != standing {
            break;
        }
        tell(&control, &Note::Vacant);
        next = match wait_for_next(&control) {
            Ok(task) => task,
            Err(failed) => {
                tell(&control, &Note::Failed(failed.to_string()));
                None
            }
        };
    }
    exit(0)
}

/// Starts a task and stays until its end; returns whether nothing of it is left then. `took` is the processor time of
/// all that ran before.
fn attend(task: Task, signals: &OwnedFd, control: &OwnedFd, took: &mut Duration) -> bool {
    let Task {
        plan,
        lock,
        streams,
    } = task;
    let status = match start(&plan, streams) {
        Err(failed) => {
            tell(control, &Note::Failed(failed.to_string()));
            None
        }
        Ok(Start::NotRun { errno, exists }) => {
            tell(control, &Note::NotRun { errno, exists });
            None
        }
        Ok(Start::Running { job, mut sessions }) => {
            tell(control, &Note::Started);
            reap(&plan, job, signals, control, sessions.as_mut())
        }
    };
    let Some(status) = status else {
        return false;
    };
    // What the program left running ends with it, as it does with a sandbox of its own.
    system::signal_all(libc::SIGKILL);
    wait_for_all();
    drop(lock);
    let all = system::children_time();
    let all_took = Some(all.saturating_sub(*took));
    *took = all;
    tell(control, &Note::Ended { status, all_took });
    nothing_is_left(&plan)
}

/// Waits until this process is alone in the sandbox.
fn wait_for_all() {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// Waits for another task; `None` where the supervisor has none any more.
fn wait_for_next(control: &OwnedFd) -> Result<Option<Task>, Failed> {
    loop {
        let (word, files) = match heard(control) {
            Ok(heard) => heard,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Ok(None),
        };
        // What was meant for the task before comes too late.
        if word == NEXT {
            return task(files).map(Some).map_err(at("begin another task"));
        }
    }
}

fn task(files: Vec<OwnedFd>) -> io::Result<Task> {
    let files: Result<[OwnedFd; 4], _> = files.try_into();
    let [lock, stdout, stderr, plan] = files.map_err(|_| io::ErrorKind::InvalidData)?;
    let plan = BufReader::new(fs::File::from(plan)).take(MAX_PLAN_BYTES);
    Ok(Task {
        plan: serde_json::from_reader(plan)?,
        lock,
        streams: [stdout, stderr],
    })
}

/// Returns what programs that this process starts begin with, besides what their plan says: limits, processors, and how
/// the kernel weighs them. `None` where that cannot be told.
fn standing() -> Option<(String, String, Vec<String>)> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let mut lines = status.lines();
    let processors = lines.find(|line| line.starts_with("Cpus_allowed:"))?;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, words) = stat.rsplit_once(')')?;
    let words: Vec<&str> = words.split_whitespace().collect();
    // From the third on: priority, nice value, real-time priority and policy.
    let weighed = [15, 16, 37, 38].map(|index| words.get(index).map(ToString::to_string));
    let weighed: Option<Vec<String>> = weighed.into_iter().collect();
    Some((limits, processors.to_owned(), weighed?))
}

/// Removes what a task left in memory; returns whether nothing is left. Its folders are the daemon's to empty.
fn nothing_is_left(plan: &SandboxPlan) -> bool {
    let mut scratch = plan.mounts.iter().filter_map(|mount| match mount.content {
        Content::Scratch { .. } => Some(mount.target.as_str()),
        _ => None,
    });
    let tidied = |folder: &str| {
        let folder = Path::new(folder);
        // A task may have closed it to itself; it has one user.
        let opened = fs::set_permissions(folder, fs::Permissions::from_mode(0o1777));
        opened.and_then(|()| empty(folder)).is_ok()
    };
    let queues = Path::new(QUEUES);
    scratch.all(tidied)
        && (!queues.exists() || empty(queues).is_ok())
        && SYSTEM_V.iter().all(|file| lines(file) == Some(1))
        && SOCKETS.iter().all(|file| no_sockets(file))
}

/// Empties a folder in which nobody else works any more.
fn empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn lines(file: &str) -> Option<usize> {
    fs::read_to_string(file)
        .ok()
        .map(|text| text.lines().count())
}

/// Returns whether such a file counts no socket of this network. A connection that has been closed keeps its port for a
/// minute, and another task may want that. Where the kernel has no such addresses there is no file.
fn no_sockets(file: &str) -> bool {
    match fs::read_to_string(file) {
        Ok(text) => text.lines().all(is_unused),
        Err(error) => error.kind() == io::ErrorKind::NotFound && file != SOCKETS[0],
    }
}

/// Looks at a line such as `TCP: inuse 0 orphan 0 tw 1 alloc 9 mem 0`, of which only these two are this network's.
fn is_unused(line: &str) -> bool {
    let Some((kind, counts)) = line.split_once(": ") else {
        return true;
    };
    let words: Vec<&str> = counts.split(' ').collect();
    let mut pairs = words.chunks_exact(2);
    // All kinds together, the first process's own among them.
    kind == "sockets" || pairs.all(|pair| !["inuse", "tw"].contains(&pair[0]) || pair[1] == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_wait_are_seen() {
        for (line, unused) in [
            ("sockets: used 7", true),
            ("TCP: inuse 0 orphan 3 tw 0 alloc 9 mem 4", true),
            ("TCP: inuse 0 orphan 0 tw 1 alloc 0 mem 0", false),
            ("TCP: inuse 2 orphan 0 tw 0 alloc 2 mem 0", false),
            ("UDP6: inuse 1", false),
            ("FRAG: inuse 0 memory 0", true),
        ] {
            assert_eq!(is_unused(line), unused, "{line}");
        }
    }
}
