//! Takes an agent off its machine: ends what still runs, and removes what it has on the disk and in the kernel.
//! Nothing that is not an agent's is touched, also where its folder has other files in it.
//!
//! Called by `compute-share uninstall`, once the daemon has stopped.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use common::{status::EndReason, time::Span};
use rustix::{
    fs::{FlockOperation, flock},
    mount::{UnmountFlags, unmount},
    process::{Pid, Signal, kill_process},
};
use tokio::time::timeout;

use crate::{
    registration::AgentFolder,
    sandbox::cgroups_of_ours,
    scrap,
    supervise::{Adopted, ROLE, Supervisor, SupervisorEvent},
};

/// Between SIGTERM and SIGKILL for jobs that run without a daemon, and how much longer until their supervisor is
/// ended with them.
const GRACE: Span = Span::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(40);
/// Everything that an agent makes in its folder.
const NAMES: [&str; 18] = [
    "agent.log",
    "attempts",
    "cache",
    "control.sock",
    "disks",
    "images",
    "journal.redb",
    "lazy",
    "lazy-door",
    "lease",
    "frozen",
    "frozen.draft",
    "lock",
    "machine-key.pem",
    "machine.pem",
    "owner.yaml",
    "registration.json",
    "scratch",
];
/// What folders of the trial at the agent's start begin with; one is left where the agent was killed in it.
const TRIAL: &str = "probe-";
/// Most rounds of taking mounts away; each round uncovers what lay below.
const MAX_ROUNDS: usize = 8;

/// What an agent has on its machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Remains {
    /// In its folder, and the folder itself where nothing else is in it.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) cgroups: Vec<PathBuf>,
    pub(crate) mounts: Vec<PathBuf>,
    /// Devices made of its files.
    pub(crate) devices: Vec<PathBuf>,
    /// Jobs that run, by their folder.
    pub(crate) running: Vec<PathBuf>,
    /// What lies in its folder and is not the agent's.
    pub(crate) others: Vec<PathBuf>,
}

impl Remains {
    /// Looks for everything of the agent in `folder`.
    pub(crate) fn of(folder: &AgentFolder) -> io::Result<Self> {
        let mut remains = Self {
            cgroups: cgroups_of_ours(),
            mounts: mounts_below(folder.path()),
            devices: devices_of(folder.path()),
            ..Self::default()
        };
        let entries = match fs::read_dir(folder.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(remains),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if NAMES.contains(&&*name) || name.starts_with(TRIAL) {
                remains.files.push(entry.path());
            } else {
                remains.others.push(entry.path());
            }
        }
        if remains.others.is_empty() {
            remains.files.push(folder.path().to_owned());
        }
        remains.files.sort();
        remains.others.sort();
        for attempt in attempts(folder) {
            if matches!(Supervisor::adopt(&attempt), Ok(Adopted::Running(_))) {
                remains.running.push(attempt);
            }
        }
        Ok(remains)
    }

    /// Returns everything that can be named, for people.
    pub(crate) fn lines(&self) -> Vec<String> {
        let paths = [&self.files, &self.cgroups, &self.mounts, &self.devices];
        let paths = paths.into_iter().flatten();
        paths.map(|path| path.display().to_string()).collect()
    }
}

/// Ends and removes everything of the agent in `folder`.
///
/// # Errors
/// Something cannot be removed; what could is gone, and doing it again goes on.
pub(crate) async fn remove(folder: &AgentFolder) -> io::Result<()> {
    // Nobody starts an agent in here meanwhile.
    let lock = lock(folder)?;
    for attempt in attempts(folder) {
        end(&attempt).await?;
    }
    take_mounts_away(folder.path());
    let found = Remains::of(folder)?;
    if let Some(mount) = found.mounts.first() {
        return Err(named(mount, &io::Error::other("it is still mounted")));
    }
    for file in found.files.iter().filter(|file| *file != folder.path()) {
        scrap::remove(file).map_err(|error| named(file, &error))?;
    }
    drop(lock);
    if found.others.is_empty() {
        remove_empty(folder.path())?;
        // The folder above is ours, too, where XDG variables say where everything is.
        let above = folder
            .path()
            .parent()
            .filter(|above| above.ends_with("compute-share"));
        above.map_or(Ok(()), remove_empty)?;
    }
    // Other agents of this machine share them; with jobs of theirs inside, they stay.
    for cgroup in found.cgroups {
        let _ = fs::remove_dir(cgroup);
    }
    Ok(())
}

fn lock(folder: &AgentFolder) -> io::Result<Option<File>> {
    let path = folder.lock();
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|error| named(&path, &error))?,
    };
    let locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
    locked.map_err(|_| named(&path, &io::Error::other("an agent still runs there")))?;
    Ok(Some(file))
}

fn attempts(folder: &AgentFolder) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.attempts()).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}

/// Ends the attempt in `dir` if it runs, and removes its cgroup.
async fn end(dir: &Path) -> io::Result<()> {
    let adopt = || Supervisor::adopt(dir).map_err(|error| named(dir, &io::Error::other(error)));
    let Adopted::Running(mut supervisor) = adopt()? else {
        return Ok(());
    };
    // One that cannot be asked is about to end.
    let _ = supervisor.stop(EndReason::MachineOwner, GRACE).await;
    if timeout(PATIENCE, ended(&mut supervisor)).await.is_ok() {
        return Ok(());
    }
    kill_supervisors(dir);
    match timeout(PATIENCE, ended(&mut supervisor)).await {
        Ok(()) => Ok(()),
        Err(_) => Err(named(dir, &io::Error::other("its job cannot be ended"))),
    }
}

/// Waits until nothing of the attempt runs; by then its cgroup is gone, too.
async fn ended(supervisor: &mut Supervisor) {
    loop {
        if let SupervisorEvent::Ended(_) | SupervisorEvent::Died = supervisor.next().await {
            return;
        }
    }
}

/// Kills whatever supervises the attempt in `dir`; everything in the sandbox dies with it.
fn kill_supervisors(dir: &Path) {
    let Ok(processes) = fs::read_dir("/proc") else {
        return;
    };
    for process in processes.flatten() {
        let pid = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let Some(pid) = pid.and_then(Pid::from_raw) else {
            continue;
        };
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0).skip(1);
        let is_role = words.next() == Some(ROLE.as_bytes());
        if is_role && words.next() == Some(dir.as_os_str().as_encoded_bytes()) {
            // Gone already is as good.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn take_mounts_away(folder: &Path) {
    for _ in 0..MAX_ROUNDS {
        let mounts = mounts_below(folder);
        if mounts.is_empty() {
            return;
        }
        for mount in mounts.iter().rev() {
            // What could not be taken away is found by whoever looks again.
            let _ = unmount(mount, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        }
    }
}

/// Returns what is mounted in `folder`, outermost first.
fn mounts_below(folder: &Path) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts_in(&mounts, folder)
}

fn mounts_in(mounts: &str, folder: &Path) -> Vec<PathBuf> {
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let mut points: Vec<PathBuf> = points
        .map(|point| PathBuf::from(unescaped(point)))
        .filter(|point| point.starts_with(folder) && point != folder)
        .collect();
    points.sort();
    points
}

/// The kernel writes four characters of a path as octal numbers.
fn unescaped(point: &str) -> String {
    let escapes = [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ];
    let replace = |text: String, (from, to): &(&str, &str)| text.replace(from, to);
    escapes.iter().fold(point.to_owned(), replace)
}

/// Returns the block devices that are made of files in `folder`.
fn devices_of(folder: &Path) -> Vec<PathBuf> {
    let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let ours = devices.filter(|device| {
        let file = fs::read_to_string(device.path().join("loop/backing_file"));
        file.is_ok_and(|file| Path::new(file.trim_end()).starts_with(folder))
    });
    ours.map(|device| Path::new("/dev").join(device.file_name()))
        .collect()
}

fn remove_empty(folder: &Path) -> io::Result<()> {
    match fs::remove_dir(folder) {
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
            ) =>
        {
            Err(named(folder, &error))
        }
        _ => Ok(()),
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_in_the_folder_are_found() {
        let mounts = "30 1 0:1 / / rw - ext4 /dev/a rw\n\
                      31 30 0:2 / /data/agent rw - ext4 /dev/b rw\n\
                      32 31 0:3 / /data/agent/attempts/a\\040b rw - ext4 /dev/loop0 rw\n\
                      33 30 0:4 / /data/agents/x rw - tmpfs none rw\n";
        let found = mounts_in(mounts, Path::new("/data/agent"));
        assert_eq!(found, [PathBuf::from("/data/agent/attempts/a b")]);
    }

    #[tokio::test]
    async fn everything_of_the_agent_goes_and_nothing_else() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("compute-share/agent");
        fs::create_dir_all(path.join("attempts/x/work")).unwrap();
        fs::create_dir_all(path.join("probe-1/work")).unwrap();
        for name in ["registration.json", "lock", "agent.log", "thesis.tex"] {
            fs::write(path.join(name), name).unwrap();
        }
        let folder = AgentFolder::new(&path);
        let found = Remains::of(&folder).unwrap();
        assert_eq!(found.others, [path.join("thesis.tex")]);
        assert_eq!(found.files.len(), 5, "{found:?}");
        remove(&folder).await.unwrap();
        let left: Vec<_> = fs::read_dir(&path).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        fs::remove_file(path.join("thesis.tex")).unwrap();
        remove(&folder).await.unwrap();
        assert!(!temp.path().join("compute-share").exists());
        // Once more is no mistake.
        remove(&folder).await.unwrap();
    }

    #[tokio::test]
    async fn nothing_goes_while_an_agent_runs() {
        let temp = tempfile::tempdir().unwrap();
        let folder = AgentFolder::new(temp.path());
        fs::write(folder.registration(), "{}").unwrap();
        let held = File::create(folder.lock()).unwrap();
        held.lock().unwrap();
        assert!(remove(&folder).await.is_err());
        assert!(folder.registration().exists());
    }
}
