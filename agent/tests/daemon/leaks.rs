//! A hundred jobs through a whole agent, ended in different ways, leave nothing of themselves and no memory taken.
//! What supervisors alone leave is tried a thousand times among the sandbox's tests.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use common::{
    status::EndReason,
    wire::agent::{AttemptReport, Goal, ReportStage},
};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    coordinator::{Bench, Coordinator, attempt, soon},
    start, status,
};

const JOBS: u32 = 100;
/// Not counted for memory: the first use of anything.
const FIRST: u32 = 20;
/// What this process, which holds the agent, may have grown by.
const MAX_GROWTH: u64 = 5 << 20;

/// How a job ends.
#[derive(Debug, Clone, Copy)]
enum End {
    ByItself,
    Stopped,
    SupervisorKilled,
    /// By itself, and its supervisor is killed after it told so and before it took the cgroup down.
    SupervisorKilledLast,
}

impl End {
    /// Each way as often, in an order that is the same every time but not regular.
    const fn of(job: u32) -> Self {
        match (job.wrapping_mul(2_654_435_761) >> 16) % 4 {
            0 => Self::ByItself,
            1 => Self::Stopped,
            2 => Self::SupervisorKilledLast,
            _ => Self::SupervisorKilled,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_jobs_leave_nothing_of_an_agent() {
    let bench = Bench::approved();
    let running = start(&bench).await;
    let mut coordinator = bench.accept().await;
    let mut seen = BTreeSet::new();
    let mut before = 0;
    for job in 0..JOBS {
        if job == FIRST {
            before = resident();
        }
        one(&bench, &mut coordinator, job, &mut seen).await;
    }
    coordinator.assign(u64::from(JOBS) * 2 + 1, &[]).await;
    let attempts = bench.folder().path().join("attempts");
    soon("the last attempt's folder to go", async {
        while fs::read_dir(&attempts).unwrap().next().is_some() {
            coordinator.heartbeat().await;
        }
    })
    .await;
    assert_eq!(status(&bench).await.running, []);
    let grown = resident().saturating_sub(before);
    println!("{grown} bytes more after {} jobs", JOBS - FIRST);
    assert!(grown < MAX_GROWTH, "{grown} bytes more than before");
    running.stop();
    assert_eq!(running.wait().await, Ok(()));

    assert!(!seen.is_empty());
    assert_eq!(processes_with(&marker()), Vec::<u32>::new());
    let folder = bench.folder().path().to_owned();
    // Those that wait for an attempt learn of the agent's end by it.
    soon("the supervisors to go", async {
        while !processes_with(text(&folder)).is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Without processes, a namespace lives on by a descriptor or a mount alone. Their numbers are used again.
    // Whoever makes networks ahead may have one in hand when the agent ends.
    soon("namespaces to go", async {
        while !descriptors_of_namespaces().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // A name is made of a number that another test's attempt may have for a moment.
    soon("the cgroups to go", async {
        while cgroups()
            .iter()
            .any(|place| seen.iter().any(|name| place.ends_with(name)))
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(text(&folder)), "{mounts}");
    assert!(!mounts.contains(" - nsfs "), "{mounts}");
    assert_eq!(devices(&folder), Vec::<String>::new());
}

/// Runs one job to its end, and the one before it is wanted no more.
async fn one(bench: &Bench, coordinator: &mut Coordinator, job: u32, seen: &mut BTreeSet<String>) {
    let (attempt, end) = (attempt(job), End::of(job));
    let script = match end {
        End::ByItself => format!(": {}; echo x > /work/x; echo x; exit 3", marker()),
        // So that its cgroup can be seen.
        End::SupervisorKilledLast => format!(": {}; echo x; sleep 0.3; exit 3", marker()),
        End::Stopped | End::SupervisorKilled => {
            let long = marker();
            format!("mkdir -p /work/a/b; (setsid sleep {long} &); echo x; exec sleep {long}")
        }
    };
    let generation = u64::from(job) * 2 + 1;
    let run = [(job, Goal::Run, script.as_str())];
    coordinator.assign(generation, &run).await;
    let (_, started) = coordinator.report().await;
    let begun = matches!(started, AttemptReport::Started { .. });
    assert!(begun, "{end:?}: {started:?}");
    coordinator.acknowledge(attempt, ReportStage::Started).await;
    let folder = bench.folder().attempt(attempt);
    let name =
        fs::metadata(&folder).map(|meta| format!("attempt-{:x}-{:x}", meta.dev(), meta.ino()));
    seen.extend(name.as_ref().ok().cloned());
    // So that every job has a log, and its stream comes before the next one's.
    let log = folder.join("log");
    soon("its first word", async {
        while fs::metadata(&log).is_ok_and(|log| log.len() == 0) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    match end {
        End::ByItself | End::SupervisorKilledLast => {}
        End::Stopped => {
            let reason = EndReason::Cancelled;
            let stop = [(job, Goal::Stop { reason }, script.as_str())];
            coordinator.assign(generation + 1, &stop).await;
        }
        End::SupervisorKilled => {
            for pid in processes_with(text(&folder)) {
                let pid = Pid::from_raw(pid.cast_signed()).unwrap();
                // Its first process goes with it, and may be gone already.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
    // Where its cgroup is, should it not have ended yet.
    let places = name.map(|name| {
        cgroups()
            .into_iter()
            .filter(move |place| place.ends_with(&name))
    });
    let places: Vec<PathBuf> = places.into_iter().flatten().collect();
    let (_, ended) = coordinator.report().await;
    let AttemptReport::Ended { outcome, .. } = ended else {
        panic!("{end:?}: {ended:?}");
    };
    if matches!(end, End::SupervisorKilledLast) {
        soon("its supervisor to take it down", async {
            while places.iter().any(|place| place.exists()) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        for place in places {
            fs::create_dir(place).unwrap();
        }
    }
    coordinator.acknowledge(attempt, ReportStage::Ended).await;
    coordinator.log(attempt, outcome.log_bytes).await;
}

/// In the command line of every process of these jobs, and of no other.
fn marker() -> String {
    format!("9107.{}", std::process::id())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn numbers() -> impl Iterator<Item = u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn processes_with(words: &str) -> Vec<u32> {
    let has = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(words)
    };
    numbers()
        .filter(|&pid| pid != std::process::id())
        .filter(has)
        .collect()
}

fn descriptors_of_namespaces() -> Vec<PathBuf> {
    let all = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let links = all.filter_map(|entry| fs::read_link(entry.path()).ok());
    let kinds = ["mnt:", "net:", "pid:", "user:", "ipc:", "uts:", "cgroup:"];
    links
        .filter(|link| kinds.iter().any(|kind| text(link).starts_with(kind)))
        .collect()
}

/// The cgroups of attempts, of whatever agent.
fn cgroups() -> BTreeSet<PathBuf> {
    fn below(folder: &Path, found: &mut BTreeSet<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy().starts_with("attempt-") {
                    found.insert(entry.path());
                }
                below(&entry.path(), found);
            }
        }
    }
    let mut found = BTreeSet::new();
    below(Path::new("/sys/fs/cgroup"), &mut found);
    found
}

/// Loop devices on files of the agent.
fn devices(folder: &Path) -> Vec<String> {
    let all = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let of =
        all.filter_map(|entry| fs::read_to_string(entry.path().join("loop/backing_file")).ok());
    of.filter(|of| of.contains(text(folder))).collect()
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() << 10
}
