//! The temporary folder and all processes of a demo or benchmark, which are gone afterwards however it ends:
//! well, with an error, by Ctrl-C or because it took too long.
//!
//! Daemons that leave their parent become children of this process, so nothing that was started here can be
//! missed; only processes that descend from this one are ended, each by its pid.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::exit,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, wait};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

/// How long daemons have to end by themselves.
const GRACE: Duration = Duration::from_secs(5);
/// How long the kernel may take to end what was killed.
const KILL_LIMIT: Duration = Duration::from_secs(10);
/// How often is looked whether they have.
const LOOK: Duration = Duration::from_millis(10);

/// See the module.
#[derive(Debug)]
pub(crate) struct Stage {
    /// `None` once it was cleared or is to stay.
    folder: Arc<Mutex<Option<TempDir>>>,
    path: PathBuf,
}

impl Stage {
    /// Makes the folder. Everything is over `limit` from now at the latest.
    ///
    /// # Errors
    /// The folder, or the watch over signals, cannot be made.
    pub(crate) fn open(prefix: &str, limit: Duration) -> Result<Self> {
        set_child_subreaper(Some(getpid())).context("cannot become the parent of daemons")?;
        let folder = tempfile::Builder::new().prefix(prefix).tempdir();
        let folder = folder.context("cannot make a temporary folder")?;
        let path = folder.path().to_owned();
        let folder = Arc::new(Mutex::new(Some(folder)));
        let watched = Arc::clone(&folder);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.context("cannot watch for signals")?;
        thread::spawn(move || {
            let why = runtime.block_on(reason_to_stop(limit));
            // Kept locked until the process is gone, so that the main thread has nothing more to say.
            let mut folder = watched.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(folder) = folder.take() {
                eprintln!("\n{why}: stopping everything");
                clear(folder);
                exit(130);
            }
            drop(folder);
        });
        Ok(Self { folder, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves folder and processes as they are.
    pub(crate) fn keep(self) -> PathBuf {
        let folder = self
            .folder
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        folder.map_or_else(|| self.path.clone(), TempDir::keep)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let folder = self
            .folder
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(folder) = folder {
            clear(folder);
        }
    }
}

async fn reason_to_stop(limit: Duration) -> String {
    let caught = async |kind: SignalKind| match signal(kind) {
        Ok(mut stream) => stream.recv().await,
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        _ = caught(SignalKind::interrupt()) => "interrupted".to_owned(),
        _ = caught(SignalKind::terminate()) => "asked to end".to_owned(),
        _ = caught(SignalKind::hangup()) => "the terminal was closed".to_owned(),
        () = tokio::time::sleep(limit) => format!("not done after {} s", limit.as_secs()),
    }
}

fn clear(folder: TempDir) {
    stop_descendants();
    let path = folder.path().to_owned();
    make_removable(&path);
    if let Err(error) = folder.close() {
        eprintln!("{} is left behind: {error}", path.display());
    }
}

/// Asks every child to end, then ends whatever still descends from this process.
fn stop_descendants() {
    let asked = Instant::now();
    let mut told = Vec::new();
    while asked.elapsed() < GRACE {
        reap();
        let processes = Processes::read();
        let children = processes.children_of(own_pid());
        if children.is_empty() {
            return;
        }
        for &child in children.iter().filter(|child| !told.contains(*child)) {
            send(child, Signal::TERM);
        }
        told.extend(children);
        thread::sleep(LOOK);
    }
    let killed = Instant::now();
    while killed.elapsed() < KILL_LIMIT {
        reap();
        let left = Processes::read().descendants_of(own_pid());
        if left.is_empty() {
            return;
        }
        for pid in left {
            send(pid, Signal::KILL);
        }
        thread::sleep(LOOK);
    }
    let left = Processes::read().descendants_of(own_pid());
    eprintln!("these processes could not be ended: {left:?}");
}

fn own_pid() -> i32 {
    getpid().as_raw_nonzero().get()
}

fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _gone_meanwhile = kill_process(pid, signal);
    }
}

fn reap() {
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
}

/// Who is whose parent, at one moment: pairs of a process and its parent.
#[derive(Debug)]
struct Processes(Vec<(i32, i32)>);

impl Processes {
    fn read() -> Self {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let pairs = pids.filter_map(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, parent_in(&stat)?))
        });
        Self(pairs.collect())
    }

    fn children_of(&self, parent: i32) -> Vec<i32> {
        let children = self.0.iter().filter(|(_, of)| *of == parent);
        children.map(|(pid, _)| *pid).collect()
    }

    fn descendants_of(&self, ancestor: i32) -> Vec<i32> {
        let mut found = self.children_of(ancestor);
        let mut next = 0;
        while next < found.len() {
            let below = self.children_of(found[next]);
            found.extend(below);
            next += 1;
        }
        found
    }
}

/// Returns the parent's pid from a line of `/proc/PID/stat`. The second field is the program's name in
/// parentheses and may itself hold anything.
fn parent_in(stat: &str) -> Option<i32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// What an agent keeps may be read-only folders, which only root could empty.
fn make_removable(folder: &Path) {
    let _as_far_as_possible = fs::set_permissions(folder, Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_removable(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_found_behind_any_name() {
        assert_eq!(parent_in("12 (sh) S 7 12 12 0"), Some(7));
        assert_eq!(parent_in("12 (a) b) R 1 (c) S 9 12"), Some(9));
        assert_eq!(parent_in("12 (sh"), None);
    }

    #[test]
    fn descendants_are_followed_over_generations() {
        let processes = Processes(vec![(2, 1), (3, 2), (4, 3), (5, 1), (6, 9)]);
        let mut found = processes.descendants_of(1);
        found.sort_unstable();
        assert_eq!(found, [2, 3, 4, 5]);
        assert_eq!(processes.children_of(9), [6]);
    }

    #[test]
    fn daemons_that_left_their_parent_are_ended_too() {
        set_child_subreaper(Some(getpid())).unwrap();
        // The second one does not care about being asked.
        let script =
            "setsid sleep 1000 & setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' &";
        let started = std::process::Command::new("sh")
            .args(["-c", script])
            .status();
        assert!(started.unwrap().success());
        assert_eq!(Processes::read().children_of(own_pid()).len(), 2);
        stop_descendants();
        assert!(Processes::read().descendants_of(own_pid()).is_empty());
    }

    #[test]
    fn a_folder_that_a_job_locked_can_be_removed() {
        let folder = tempfile::tempdir().unwrap();
        let locked = folder.path().join("cache/tree");
        fs::create_dir_all(&locked).unwrap();
        fs::write(locked.join("file"), "x").unwrap();
        fs::set_permissions(&locked, Permissions::from_mode(0o500)).unwrap();
        make_removable(folder.path());
        let mode = fs::metadata(&locked).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
