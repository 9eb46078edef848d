//! A thousand attempts that end in every way and at any moment leave nothing.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use agent::{
    scratch::Disks,
    supervise::{Given, Supervisor, SupervisorEvent},
};
use agent_core::sandbox_plan::{Content, DiskBound, FIRST_HOST_UID, Identity};
use common::{status::EndReason, time::Span, units::Bytes};
use rustix::process::{Pid, Signal, kill_process};

use crate::world::{Attempt, program, slowness};

const ATTEMPTS: u32 = 1000;
/// At once.
const WORKERS: usize = 6;
/// One in so many is looked at while it runs.
const LOOKED_AT: u32 = 20;
/// Longest that one is left to itself.
const WAIT: Duration = Duration::from_millis(60);
/// Not counted for memory: the first use of anything.
const FIRST: u32 = 100;
/// Of open descriptors there may be more than after the first attempts: the disk of each worker may be waiting to be
/// taken again or not, and the runtime has some of its own.
const SPARE_DESCRIPTORS: usize = WORKERS + 2;
/// What this process, which is the daemon here, may have grown by.
const MAX_GROWTH: u64 = 5 << 20;
/// For the kernel to clear up.
const PATIENCE: Duration = Duration::from_secs(20);
/// Repeats a run.
const SEED: &str = "COMPUTE_SHARE_LEAK_SEED";

/// What every attempt does: files, a process that outlives its parent, one that does not listen.
const SCRIPT: &str =
    "trap '' TERM; echo x > /work/file; mkdir -p /output/a/b; (setsid sleep 500 &) ;
    i=0; while [ $i -lt 20 ]; do i=$((i+1)); echo $i; done; exec sleep 500";

/// Numbers that a seed repeats (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % most
    }
}

/// What all attempts have in common, and what was seen of them.
struct Run {
    disks: Option<Disks>,
    base: PathBuf,
    uid: u32,
    next: AtomicUsize,
    seen: std::sync::Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    cgroups: Vec<String>,
    namespaces: BTreeSet<PathBuf>,
}

#[test]
fn a_thousand_attempts_leave_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let sample = Attempt::shell("true");
    let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        u64::from(now.subsec_nanos()) | 1
    });
    println!("{SEED}={seed}");
    let superuser = sample.host.superuser;
    let run = Arc::new(Run {
        disks: superuser.then(|| Disks::open(&temp.path().join("scratch")).unwrap()),
        base: temp.path().to_owned(),
        // Nobody else's, so that what is left can be told.
        uid: FIRST_HOST_UID + std::process::id(),
        next: AtomicUsize::new(0),
        seen: std::sync::Mutex::default(),
    });
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    let begin = Instant::now();
    go(&runtime, &run, count(FIRST), seed);
    let (memory, open) = (resident(), descriptors());
    go(&runtime, &run, count(ATTEMPTS), seed.rotate_left(17) | 1);
    let grown = resident().saturating_sub(memory);
    println!(
        "{} attempts in {:?}; this process grew by {grown} bytes",
        count(ATTEMPTS),
        begin.elapsed()
    );
    assert!(grown < MAX_GROWTH, "{grown} bytes more than before");
    settled("descriptors", || descriptors() <= open + SPARE_DESCRIPTORS);
    let Run { disks, seen, .. } = Arc::into_inner(run).unwrap();
    drop((disks, runtime));
    let seen = seen.into_inner().unwrap();
    assert!(seen.namespaces.len() >= 10, "some were looked at");
    settled("processes", || processes(temp.path()).is_empty());
    settled("namespaces", || namespaces().is_disjoint(&seen.namespaces));
    settled("cgroups", || {
        cgroups(&sample).is_disjoint(&seen.cgroups.iter().cloned().collect())
    });
    settled("mounts", || {
        !mounts().contains(temp.path().to_str().unwrap())
    });
    settled("loop devices", || devices(temp.path()) == 0);
    let left: Vec<PathBuf> = files(temp.path());
    assert_eq!(left, Vec::<PathBuf>::new(), "files are left");
}

/// Returns how many there is time for on this machine.
fn count(attempts: u32) -> usize {
    (attempts / slowness()) as usize
}

fn go(runtime: &tokio::runtime::Runtime, run: &Arc<Run>, until: usize, seed: u64) {
    let workers: Vec<_> = (0..WORKERS)
        .map(|number| {
            let run = Arc::clone(run);
            let mut dice = Dice(seed.wrapping_add(number as u64 * 7919) | 1);
            runtime.spawn(async move {
                loop {
                    let number = run.next.fetch_add(1, Ordering::SeqCst);
                    if number >= until {
                        run.next.fetch_sub(1, Ordering::SeqCst);
                        return;
                    }
                    one(&run, number, &mut dice).await;
                }
            })
        })
        .collect();
    for worker in workers {
        runtime.block_on(worker).unwrap();
    }
}

/// One attempt from its folder to its end.
async fn one(run: &Run, number: usize, dice: &mut Dice) {
    let script = if dice.roll(4) == 0 { "exit 3" } else { SCRIPT };
    let mut attempt = Attempt::shell(script);
    let folder = run.base.join(number.to_string());
    fs::create_dir(&folder).unwrap();
    let meta = fs::metadata(&folder).unwrap();
    let cgroup = format!("attempt-{:x}-{:x}", meta.dev(), meta.ino());
    run.seen.lock().unwrap().cgroups.push(cgroup);
    attempt.plan.limits.memory = Bytes::mib(32);
    attempt.plan.limits.disk = Bytes::mib(4);
    let disk = run
        .disks
        .as_ref()
        .map(|disks| disks.take(Bytes::mib(4)).unwrap());
    let disk = disk.map(|disk| disk.moved(&folder.join("disk.img")).unwrap());
    let files = if let Some(disk) = &disk {
        attempt.plan.identity = Identity::Private { uid: run.uid };
        attempt.plan.disk = DiskBound::Own;
        fs::create_dir(folder.join("disk")).unwrap();
        for name in ["work", "output"] {
            fs::create_dir(disk.path().join(name)).unwrap();
        }
        folder.join("disk")
    } else {
        for name in ["work", "output"] {
            fs::create_dir(folder.join(name)).unwrap();
        }
        folder.clone()
    };
    for mount in &mut attempt.plan.mounts {
        if let Content::Bind { source, .. } = &mut mount.content
            && ["/work", "/output"].contains(&mount.target.as_str())
        {
            *source = files.join(&mount.target[1..]);
        }
    }
    let given = Given {
        disk: disk.as_ref().map(|disk| disk.mount_again().unwrap()),
        network: None,
        secrets: None,
    };
    let mut supervisor =
        Supervisor::launch_given(Some(&program()), &folder, &attempt.plan, given).unwrap();
    let wait = (WAIT * slowness()).mul_f64(dice.roll(1000) as f64 / 1000.0);
    let ended = tokio::time::timeout(wait, last(&mut supervisor)).await;
    if number.is_multiple_of(count(LOOKED_AT)) {
        let now = processes(&folder)
            .iter()
            .flat_map(|&pid| namespaces_of(pid))
            .collect::<Vec<_>>();
        let ours = namespaces_of(std::process::id());
        let mut seen = run.seen.lock().unwrap();
        seen.namespaces
            .extend(now.into_iter().filter(|one| !ours.contains(one)));
    }
    if ended.is_err() {
        match dice.roll(3) {
            // The supervisor itself, as by an owner who ends whatever takes memory.
            0 => {
                let pid = supervisor
                    .process_id()
                    .and_then(|pid| Pid::from_raw(pid.cast_signed()));
                kill_process(pid.unwrap(), Signal::KILL).unwrap();
            }
            1 => {
                let _ = supervisor.freeze(true).await;
                let _ = supervisor
                    .stop(EndReason::Cancelled, Span::from_millis(0))
                    .await;
            }
            _ => {
                let grace = Span::from_millis(dice.roll(40));
                let _ = supervisor.stop(EndReason::Cancelled, grace).await;
            }
        }
        last(&mut supervisor).await;
    }
    drop(supervisor);
    if let (Some(disks), Some(disk)) = (&run.disks, disk) {
        disks.give_back(disk);
    }
    fs::remove_dir_all(&folder).unwrap();
}

async fn last(supervisor: &mut Supervisor) {
    while !matches!(
        supervisor.next().await,
        SupervisorEvent::Ended(_) | SupervisorEvent::Died
    ) {}
}

/// Waits for what the kernel does a moment later.
#[track_caller]
fn settled(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE * slowness(), "{what} are left");
        std::thread::yield_now();
    }
}

fn numbers() -> impl Iterator<Item = u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Supervisors and first processes name the folder; everything else in a sandbox goes with these.
fn processes(folder: &Path) -> Vec<u32> {
    let folder = folder.to_str().unwrap();
    let has = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(folder)
    };
    numbers().filter(has).collect()
}

fn namespaces_of(pid: u32) -> Vec<PathBuf> {
    let all = fs::read_dir(format!("/proc/{pid}/ns"))
        .into_iter()
        .flatten()
        .flatten();
    all.filter_map(|entry| fs::read_link(entry.path()).ok())
        .collect()
}

fn namespaces() -> BTreeSet<PathBuf> {
    numbers().flat_map(namespaces_of).collect()
}

fn cgroups(sample: &Attempt) -> BTreeSet<String> {
    let bases = sample.host.cgroup.bases();
    let entries = bases.flat_map(|base| fs::read_dir(base).unwrap().flatten());
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

fn devices(folder: &Path) -> usize {
    let all = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let of =
        all.filter_map(|entry| fs::read_to_string(entry.path().join("loop/backing_file")).ok());
    of.filter(|of| of.contains(folder.to_str().unwrap()))
        .count()
}

/// Returns what is in the folder, except empty file systems that are kept to be copied.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut left = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "scratch" {
            left.extend(files(&entry.path()));
        } else if !name.starts_with("empty-") {
            left.push(entry.path());
        }
    }
    left
}

fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}
