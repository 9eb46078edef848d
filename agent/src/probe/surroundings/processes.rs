//! What runs on the machine besides jobs: programs by name, the processors that they use, the pressure that
//! they make.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use agent_core::sandbox_plan::Cgroup;

use super::Roots;

/// The kernel keeps so much of a process's name.
const COMM_BYTES: usize = 15;
/// Most processes that are looked at.
const MAX_PROCESSES: usize = 65_536;
/// Most steps from a process to the supervisor above it; a job cannot nest its processes out of sight, because
/// its first process takes in whatever is orphaned.
const MAX_ANCESTORS: usize = 4_096;
/// Over how long the use of processors is taken together.
const WINDOW: Duration = Duration::from_secs(10);
/// Looks that are kept of it.
const MAX_LOOKS: usize = 16;
/// Fields of the first line of `/proc/stat` that are time in which a processor did nothing: idle, waiting.
const IDLE_FIELDS: [usize; 2] = [3, 4];

/// Returns those of `names` that run, jobs' own processes left out; `None` where processes cannot be seen.
pub(super) fn running(roots: &Roots, names: &[String]) -> Option<Vec<String>> {
    let proc = roots.path("proc");
    let entries = fs::read_dir(&proc).ok()?;
    let mut found: Vec<String> = Vec::new();
    for entry in entries.flatten().take(MAX_PROCESSES) {
        let folder = entry.path();
        if !is_pid(&folder) {
            continue;
        }
        // It may have ended meanwhile.
        let Ok(comm) = fs::read_to_string(folder.join("comm")) else {
            continue;
        };
        let comm = comm.trim_end_matches('\n');
        let Some(name) = names.iter().find(|name| cut(name) == comm) else {
            continue;
        };
        if !found.contains(name) && !is_job(&proc, &folder) {
            found.push(name.clone());
        }
    }
    found.sort();
    Some(found)
}

fn is_pid(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()))
}

fn cut(name: &str) -> &str {
    let end = (0..=COMM_BYTES.min(name.len()))
        .rev()
        .find(|&end| name.is_char_boundary(end));
    &name[..end.unwrap_or(0)]
}

/// Returns whether a supervisor of ours is above the process: a job could otherwise call itself as it likes.
fn is_job(proc: &Path, folder: &Path) -> bool {
    let mut folder = folder.to_owned();
    for _ in 0..MAX_ANCESTORS {
        let Ok(stat) = fs::read_to_string(folder.join("stat")) else {
            return false;
        };
        // The name in parentheses may hold anything, parentheses included.
        let parent = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        let Some(parent @ 2..) = parent else {
            return false;
        };
        folder = proc.join(parent.to_string());
        let line = fs::read(folder.join("cmdline")).unwrap_or_default();
        if line.split(|byte| *byte == 0).nth(1) == Some(crate::supervise::ROLE.as_bytes()) {
            return true;
        }
    }
    false
}

/// Returns the share of the last ten seconds in which something waited for memory, in percent.
pub(super) fn memory_pressure(roots: &Roots) -> Option<u32> {
    let text = fs::read_to_string(roots.path("proc/pressure/memory")).ok()?;
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let average = some
        .split_whitespace()
        .find_map(|pair| pair.strip_prefix("avg10="))?;
    let (whole, _) = average.split_once('.').unwrap_or((average, ""));
    whole.parse().ok().map(|percent: u32| percent.min(100))
}

/// How busy the processors are with what is no job.
#[derive(Debug)]
pub(super) struct OtherCpu {
    jobs: Jobs,
    looks: VecDeque<Look>,
    /// What each job's cgroup had used at the last look, and all of them together since the first.
    each: BTreeMap<PathBuf, u64>,
    together_ns: u64,
}

/// Where jobs' processor time is counted.
#[derive(Debug)]
enum Jobs {
    /// One folder for each job in here, with this file.
    Counted {
        base: PathBuf,
        file: &'static str,
    },
    Unknown,
}

#[derive(Debug, Clone, Copy)]
struct Look {
    at: Duration,
    /// In the kernel's ticks, over all processors.
    all: u64,
    busy: u64,
    jobs_ns: u64,
}

impl OtherCpu {
    pub(super) fn new(cgroup: &Cgroup) -> Self {
        let jobs = match cgroup {
            Cgroup::V2 { base } => Jobs::Counted {
                base: base.clone(),
                file: "cpu.stat",
            },
            Cgroup::V1 { cpuacct, .. } => Jobs::Counted {
                base: cpuacct.clone(),
                file: "cpuacct.usage",
            },
            Cgroup::None => Jobs::Unknown,
        };
        Self {
            jobs,
            looks: VecDeque::new(),
            each: BTreeMap::new(),
            together_ns: 0,
        }
    }

    /// Looks again; returns the share of all processors that others used lately, in percent. `None` at the first
    /// look, and where nobody counts what jobs use while there are any.
    pub(super) fn look(&mut self, roots: &Roots, now: Duration, any_jobs: bool) -> Option<u32> {
        if any_jobs && matches!(self.jobs, Jobs::Unknown) {
            self.looks.clear();
            return None;
        }
        let (all, busy) = ticks(&fs::read_to_string(roots.path("proc/stat")).ok()?)?;
        self.count_jobs();
        let look = Look {
            at: now,
            all,
            busy,
            jobs_ns: self.together_ns,
        };
        while self.looks.len() == MAX_LOOKS
            || self
                .looks
                .get(1)
                .is_some_and(|next| now.saturating_sub(next.at) >= WINDOW)
        {
            self.looks.pop_front();
        }
        self.looks.push_back(look);
        let first = self.looks.front().filter(|first| first.at < now)?;
        others(first, &look)
    }

    fn count_jobs(&mut self) {
        let Jobs::Counted { base, file } = &self.jobs else {
            return;
        };
        let mut now = BTreeMap::new();
        for entry in fs::read_dir(base).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with("attempt-")
                && let Some(used) = used_ns(&entry.path().join(file))
            {
                // A job that began since the last look used all of it since then.
                let before = self.each.get(&entry.path()).copied().unwrap_or(0);
                self.together_ns += used.saturating_sub(before);
                now.insert(entry.path(), used);
            }
        }
        self.each = now;
    }
}

fn used_ns(path: &Path) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    match text
        .lines()
        .find_map(|line| line.strip_prefix("usage_usec "))
    {
        Some(micros) => Some(micros.trim().parse::<u64>().ok()?.saturating_mul(1000)),
        None => text.trim().parse().ok(),
    }
}

/// Returns all ticks and the busy ones of a `/proc/stat`. The first eight fields count every tick once; those of
/// guests are in the others already.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> = line
        .split_whitespace()
        .take(8)
        .map(|field| field.parse().ok())
        .collect::<Option<_>>()?;
    let all: u64 = fields.iter().sum();
    let idle: u64 = IDLE_FIELDS
        .iter()
        .filter_map(|&index| fields.get(index))
        .sum();
    Some((all, all - idle))
}

fn others(first: &Look, last: &Look) -> Option<u32> {
    /// Ticks in a second, on every architecture that Linux has today.
    const TICK_NS: u64 = 10_000_000;
    let all = last.all.saturating_sub(first.all);
    let busy = last.busy.saturating_sub(first.busy);
    let jobs = last.jobs_ns.saturating_sub(first.jobs_ns) / TICK_NS;
    let percent = (busy.saturating_sub(jobs) * 100).checked_div(all)?;
    u32::try_from(percent.min(100)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> (tempfile::TempDir, Roots) {
        let temp = tempfile::tempdir().unwrap();
        let roots = Roots::standing_in(temp.path(), "");
        (temp, roots)
    }

    fn process(root: &Path, pid: u32, parent: u32, comm: &str, arguments: &str) {
        let folder = root.join(format!("proc/{pid}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("comm"), format!("{comm}\n")).unwrap();
        fs::write(folder.join("stat"), format!("{pid} (a) b) S {parent} 1 1")).unwrap();
        fs::write(folder.join("cmdline"), arguments.replace(' ', "\0")).unwrap();
    }

    #[test]
    fn programs_are_found_by_name_but_not_in_jobs() {
        let (temp, roots) = machine();
        let names = ["steam", "a-program-with-a-long-name"].map(str::to_owned);
        assert_eq!(running(&roots, &names), None);
        process(
            temp.path(),
            7,
            1,
            "a-program-with-",
            "a-program-with-a-long-name",
        );
        process(
            temp.path(),
            8,
            1,
            "compute-share",
            "compute-share supervise /x",
        );
        process(temp.path(), 9, 8, "init", "init");
        process(temp.path(), 10, 9, "steam", "steam");
        fs::create_dir_all(temp.path().join("proc/self")).unwrap();
        fs::write(temp.path().join("proc/self/comm"), "steam\n").unwrap();
        assert_eq!(running(&roots, &names), Some(vec![names[1].clone()]));
        process(temp.path(), 11, 7, "steam", "steam");
        assert_eq!(running(&roots, &names).unwrap().len(), 2);
    }

    #[test]
    fn this_process_is_seen_for_real() {
        let comm = fs::read_to_string("/proc/self/comm").unwrap();
        let own = [comm.trim().to_owned()];
        let roots = Roots::standing_in("/", "");
        assert_eq!(running(&roots, &own), Some(own.to_vec()));
    }

    #[test]
    fn pressure_is_the_share_of_the_last_ten_seconds() {
        let (temp, roots) = machine();
        assert_eq!(memory_pressure(&roots), None);
        fs::create_dir_all(temp.path().join("proc/pressure")).unwrap();
        let text = "some avg10=12.80 avg60=0.00 avg300=0.00 total=1\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=1\n";
        fs::write(temp.path().join("proc/pressure/memory"), text).unwrap();
        assert_eq!(memory_pressure(&roots), Some(12));
    }

    #[test]
    fn what_jobs_use_is_not_the_owners_use() {
        let (temp, roots) = machine();
        let base = temp.path().join("cgroup");
        let job = base.join("attempt-1-2");
        fs::create_dir_all(&job).unwrap();
        fs::create_dir_all(temp.path().join("proc")).unwrap();
        let mut other = OtherCpu::new(&Cgroup::V2 { base });
        let mut look = |at: u64, user: u64, idle: u64, jobs_ms: u64| {
            let stat = format!("cpu  {user} 0 0 {idle} 0 0 0 0 77 77\ncpu0 1 2 3\n");
            fs::write(temp.path().join("proc/stat"), stat).unwrap();
            let usage = format!("usage_usec {}\nuser_usec 1\n", jobs_ms * 1000);
            fs::write(job.join("cpu.stat"), usage).unwrap();
            other.look(&roots, Duration::from_secs(at), true)
        };
        assert_eq!(look(1, 1000, 1000, 5_000), None);
        // Of 200 ticks 100 were busy, 80 of them with the job.
        assert_eq!(look(2, 1100, 1100, 5_800), Some(10));
        assert_eq!(look(3, 1300, 1100, 5_800), Some(55));
        // Ten seconds later all that is forgotten.
        assert_eq!(look(13, 1300, 3100, 5_800), Some(0));
    }

    #[test]
    fn where_nobody_counts_jobs_nothing_is_guessed() {
        let roots = Roots::standing_in("/", "");
        let mut other = OtherCpu::new(&Cgroup::None);
        assert_eq!(other.look(&roots, Duration::from_secs(1), false), None);
        assert_eq!(other.look(&roots, Duration::from_secs(2), true), None);
        assert_eq!(other.look(&roots, Duration::from_secs(3), false), None);
    }
}
