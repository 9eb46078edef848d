//! The cgroup of one attempt: made with its limits, read for what was consumed, emptied and removed.
//!
//! Where the kernel has the old form, one attempt is a folder in each controller's tree; in the new one, a
//! single folder. The name comes from the attempt's folder (device and inode), so that it can be found again
//! without being written down anywhere; where a sandbox is shared, from the attempt that it was made for.
//!
//! Beside trees of the old form there usually is one of the new form without controllers. It gives what the old
//! form lacks: to be made in, frozen and ended as a whole.

mod counters;
mod files;

use std::{
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use agent_core::sandbox_plan::{Cgroup, Limits, SandboxPlan};
use common::units::MilliCpu;
use rustix::process::{Pid, Signal, kill_process};

pub(crate) use self::counters::Used;
pub(super) use self::counters::{Counted, Peak};
pub(super) use self::files::{made, write};
use self::files::{named, write_if_there};

/// What the names of attempts' cgroups begin with.
pub(super) const PREFIX: &str = "attempt-";
/// An empty cgroup of that age is nobody's: another agent on the machine fills its own at once.
const LEFT_BEHIND: Duration = Duration::from_secs(60);
/// Over which processor time is shared out.
const CPU_PERIOD_US: u64 = 100_000;
/// The kernel takes no smaller share.
const MIN_QUOTA_US: u64 = 1_000;
/// Tries to remove a cgroup whose last process has just ended, and the pause between them: on a machine that is very
/// busy, processes that were killed take seconds to be gone.
const REMOVE_TRIES: u32 = 5_000;
const REMOVE_PAUSE: Duration = Duration::from_millis(2);

/// One attempt's cgroup. Empty and without meaning where the machine has none.
#[derive(Debug)]
pub(super) struct AttemptCgroup {
    trees: Trees,
}

#[derive(Debug)]
enum Trees {
    V2(PathBuf),
    V1 {
        memory: PathBuf,
        cpu: PathBuf,
        pids: PathBuf,
        processor: Processor,
    },
    None,
}

/// Where processor time is counted, beside controllers of the old form.
#[derive(Debug)]
enum Processor {
    /// A folder of the new form, which counts without a controller.
    Unified(PathBuf),
    Cpuacct(PathBuf),
}

impl Processor {
    fn folder(&self) -> &Path {
        match self {
            Self::Unified(folder) | Self::Cpuacct(folder) => folder,
        }
    }
}

impl AttemptCgroup {
    /// Makes what a process can be made in of the cgroup of the attempt in `dir`, with its limits; what an earlier
    /// attempt left there is killed and removed. The rest is for [`Self::complete`].
    pub(super) fn begin(plan: &SandboxPlan, dir: &Path) -> io::Result<Self> {
        let this = Self::of(plan, dir)?;
        if let Some(whole) = this.whole() {
            this.make(whole)?;
        }
        if matches!(this.trees, Trees::V2(_)) {
            this.set(&plan.limits)?;
        }
        Ok(this)
    }

    /// Makes what a process can only move to: the controllers' trees of the old form, which take their time. Returns
    /// the ways in.
    pub(super) fn complete(&self, limits: &Limits) -> io::Result<Doors> {
        let Trees::V1 { cpu, .. } = &self.trees else {
            return Ok(Doors::default());
        };
        let whole = self.whole();
        let folders = self.folders();
        let others = || folders.iter().filter(|folder| Some(**folder) != whole);
        others().try_for_each(|folder| self.make(folder))?;
        self.set(limits)?;
        let mut doors = Doors::default();
        for folder in others() {
            let path = folder.join("tasks");
            let open = fs::OpenOptions::new().write(true).open(&path);
            let door = open.map_err(|error| named(&path, &error))?;
            if *folder == cpu {
                doors.last.0.push(door);
            } else {
                doors.first.push(door);
            }
        }
        Ok(doors)
    }

    fn make(&self, folder: &Path) -> io::Result<()> {
        let mut made = fs::create_dir(folder);
        if matches!(&made, Err(error) if error.kind() == io::ErrorKind::AlreadyExists) {
            remove(&[folder])?;
            made = fs::create_dir(folder);
        }
        made.map_err(|error| named(folder, &error))
    }

    fn of(plan: &SandboxPlan, dir: &Path) -> io::Result<Self> {
        let leaf = || match plan.shared {
            Some(first) => Ok(format!("{PREFIX}{first}")),
            None => {
                let meta = fs::metadata(dir)?;
                io::Result::Ok(format!("{PREFIX}{:x}-{:x}", meta.dev(), meta.ino()))
            }
        };
        let trees = match &plan.cgroup {
            Cgroup::None => Trees::None,
            Cgroup::V2 { base } => Trees::V2(base.join(leaf()?)),
            Cgroup::V1 {
                memory,
                cpu,
                cpuacct,
                pids,
                unified,
            } => {
                let leaf = leaf()?;
                Trees::V1 {
                    memory: memory.join(&leaf),
                    cpu: cpu.join(&leaf),
                    pids: pids.join(&leaf),
                    processor: match unified {
                        Some(unified) => Processor::Unified(unified.join(&leaf)),
                        None => Processor::Cpuacct(cpuacct.join(&leaf)),
                    },
                }
            }
        };
        Ok(Self { trees })
    }

    /// Every folder once: controllers may share a tree.
    fn folders(&self) -> Vec<&Path> {
        match &self.trees {
            Trees::None => Vec::new(),
            Trees::V2(folder) => vec![folder],
            Trees::V1 {
                memory,
                cpu,
                pids,
                processor,
            } => {
                // Neighbours are those that may share a tree.
                let mut folders: Vec<&Path> = vec![memory, pids, processor.folder(), cpu];
                folders.dedup();
                folders
            }
        }
    }

    /// Sets the limits; they may be there already.
    pub(super) fn set(&self, limits: &Limits) -> io::Result<()> {
        let memory = limits.memory.0.to_string();
        let processes = limits.processes.to_string();
        let quota = cpu_quota_us(limits.cpu);
        match &self.trees {
            Trees::None => Ok(()),
            Trees::V2(folder) => {
                write(folder, "memory.max", &memory)?;
                write_if_there(folder, "memory.swap.max", "0")?;
                write_if_there(folder, "memory.oom.group", "1")?;
                write(folder, "cpu.max", &format!("{quota} {CPU_PERIOD_US}"))?;
                write(folder, "pids.max", &processes)
            }
            Trees::V1 {
                memory: memory_folder,
                cpu,
                pids,
                ..
            } => {
                write(memory_folder, "memory.limit_in_bytes", &memory)?;
                // Memory and swap together: no swap beyond the memory.
                write_if_there(memory_folder, "memory.memsw.limit_in_bytes", &memory)?;
                write(cpu, "cpu.cfs_period_us", &CPU_PERIOD_US.to_string())?;
                write(cpu, "cpu.cfs_quota_us", &quota.to_string())?;
                write(pids, "pids.max", &processes)
            }
        }
    }

    /// Returns the folder that a process can be made in, where the kernel can do that.
    pub(super) fn open_for_clone(&self) -> io::Result<Option<fs::File>> {
        self.whole()
            .map(|folder| fs::File::open(folder).map_err(|error| named(folder, &error)))
            .transpose()
    }

    /// Returns the folder of the new form, in which the attempt can be frozen and ended as a whole.
    fn whole(&self) -> Option<&Path> {
        match &self.trees {
            Trees::V2(folder)
            | Trees::V1 {
                processor: Processor::Unified(folder),
                ..
            } => Some(folder),
            _ => None,
        }
    }

    /// Holds everything in it still, or lets it go on. Returns whether that can be done here.
    pub(super) fn freeze(&self, frozen: bool) -> io::Result<bool> {
        let Some(folder) = self.whole() else {
            return Ok(false);
        };
        write_if_there(folder, "cgroup.freeze", if frozen { "1" } else { "0" })
    }

    /// Removes it where nothing is in it any more.
    fn remove_if_empty(&self) -> io::Result<()> {
        for folder in self.folders() {
            match fs::remove_dir(folder) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => return Ok(()),
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(named(folder, &error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Ends everything in it, waits until it is empty, and removes it.
    pub(super) fn kill_and_remove(&self) -> io::Result<()> {
        remove(&self.folders())
    }
}

/// Ends everything in these folders of one cgroup, waits until they are empty, and removes them.
fn remove(folders: &[&Path]) -> io::Result<()> {
    for _ in 0..REMOVE_TRIES {
        let mut busy = false;
        for folder in folders {
            match fs::remove_dir(folder) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    busy = true;
                    kill_all(folder)?;
                }
                Err(error) => return Err(named(folder, &error)),
            }
        }
        if !busy {
            return Ok(());
        }
        std::thread::sleep(REMOVE_PAUSE);
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// The ways into a cgroup of the old form, of which there are as many as trees.
#[derive(Debug, Default)]
pub(super) struct Doors {
    first: Vec<fs::File>,
    last: LastDoor,
}

/// The way to where processor time is shared out: best gone through when all else is done.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct LastDoor(Vec<fs::File>);

/// Most ways into one cgroup: memory, numbers of processes, accounts, processor time.
pub(super) const MAX_DOORS: usize = 4;

impl Doors {
    /// Takes over ways that another process has opened, the last one last.
    pub(super) fn from_files(files: Vec<OwnedFd>) -> Self {
        let mut first: Vec<fs::File> = files.into_iter().map(fs::File::from).collect();
        let last = LastDoor(first.pop().into_iter().collect());
        Self { first, last }
    }

    /// Returns them, the last one last.
    pub(super) fn files(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.first.iter().chain(&self.last.0).map(AsFd::as_fd)
    }

    /// Moves this process in, but for the last way. It has one thread and moves itself, which is the one way that
    /// does not have to wait for every processor of the machine (some ten milliseconds).
    pub(super) fn enter(self) -> io::Result<LastDoor> {
        go_through(self.first).map(|()| self.last)
    }
}

impl LastDoor {
    pub(super) fn enter(self) -> io::Result<()> {
        go_through(self.0)
    }
}

fn go_through(doors: Vec<fs::File>) -> io::Result<()> {
    let mut doors = doors.into_iter();
    doors.try_for_each(|mut door| io::Write::write_all(&mut door, b"0"))
}

/// Removes the cgroups of attempts that are long over and whose folder went before anybody could reap them.
/// What still has processes stays.
pub(super) fn sweep(cgroup: &Cgroup) {
    for entry in cgroup.bases().flat_map(fs::read_dir).flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let age = entry.metadata().and_then(|meta| meta.modified());
        let age = age.ok().and_then(|made| made.elapsed().ok());
        if ours && age.is_some_and(|age| age > LEFT_BEHIND) {
            // The kernel refuses while something runs in it.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Ends and removes what is left of the attempt in `dir`, whose supervisor is gone, or does not supervise it any more.
/// Where the attempt `has_result`, another may be in its sandbox by now.
pub(crate) fn reap(plan: &SandboxPlan, dir: &Path, has_result: bool) -> io::Result<()> {
    let cgroup = AttemptCgroup::of(plan, dir)?;
    match plan.shared {
        Some(_) if has_result => cgroup.remove_if_empty(),
        _ => cgroup.kill_and_remove(),
    }
}

fn kill_all(folder: &Path) -> io::Result<()> {
    if write_if_there(folder, "cgroup.kill", "1")? {
        return Ok(());
    }
    let list = fs::read_to_string(folder.join("cgroup.procs"))?;
    for pid in list.lines().filter_map(|line| line.parse().ok()) {
        if let Some(pid) = Pid::from_raw(pid) {
            // Gone already is as good.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    Ok(())
}

fn cpu_quota_us(cpu: MilliCpu) -> u64 {
    (u64::from(cpu.0) * CPU_PERIOD_US / 1000).max(MIN_QUOTA_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_shares_keep_to_what_the_kernel_takes() {
        assert_eq!(cpu_quota_us(MilliCpu(1500)), 150_000);
        assert_eq!(cpu_quota_us(MilliCpu(0)), MIN_QUOTA_US);
    }
}
