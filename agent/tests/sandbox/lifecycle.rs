//! Starting, stopping, and what survives whom.

use std::{fs, io::Write as _, path::Path, time::Instant};

use agent::supervise::{Adopted, LaunchError, Supervisor, SupervisorEvent};
use agent_core::sandbox_plan::Cgroup;
use common::{
    status::{EndReason, LogStream},
    time::Span,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::retry_on_intr,
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};

use crate::world::{Attempt, block_on, everyone, patience, processes_with, row};

/// Waits until the job has written something.
pub(crate) async fn heard(supervisor: &mut Supervisor) {
    while !matches!(supervisor.next().await, SupervisorEvent::Logged { .. }) {}
}

#[track_caller]
pub(crate) fn gone(processes: &[u32]) {
    for &number in processes {
        let pid = Pid::from_raw(number.cast_signed()).unwrap();
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
            continue;
        };
        let mut waiting = [PollFd::new(&process, PollFlags::IN)];
        let most = Timespec {
            tv_sec: 5,
            tv_nsec: 0,
        };
        // Another child that ends is a signal.
        let over = retry_on_intr(|| poll(&mut waiting, Some(&most)));
        assert_eq!(over, Ok(1), "{number} lives");
    }
}

/// Returns the processes of a job that starts a second one, once both are seen. One that is just becoming
/// another program has no command line for a moment.
fn several_with(marker: &str) -> Vec<u32> {
    let begin = Instant::now();
    loop {
        let job = processes_with(marker);
        if job.len() >= 2 {
            return job;
        }
        assert!(begin.elapsed() < patience(), "{job:?}");
        std::thread::yield_now();
    }
}

fn cgroup_left(attempt: &Attempt) -> bool {
    let meta = fs::metadata(attempt.folder.path()).unwrap();
    let (dev, ino) = (
        std::os::unix::fs::MetadataExt::dev(&meta),
        std::os::unix::fs::MetadataExt::ino(&meta),
    );
    let base = match &attempt.host.cgroup {
        Cgroup::V1 { memory, .. } => memory.clone(),
        Cgroup::V2 { base } => base.clone(),
        Cgroup::None => return false,
    };
    base.join(format!("attempt-{dev:x}-{ino:x}")).exists()
}

/// A marker that no other test's processes have in their command line.
fn marker(seconds: u32) -> String {
    format!("{seconds}.{}", std::process::id())
}

#[test]
fn r7_nothing_outlives_its_attempt() {
    row(
        &["R7"],
        "lifecycle::r7_nothing_outlives_its_attempt",
        || {
            let marker = marker(9101);
            let script = format!(
            "trap '' TERM HUP INT
            for i in 1 2 3 4 5; do (trap '' TERM; setsid sh -c 'trap \"\" TERM; setsid sleep {marker} &' &) ; done
            setsid sleep {marker} & echo ready; while :; do sleep {marker}; done"
        );
            let attempt = Attempt::shell(&script);
            let (finished, took) = block_on(async {
                let mut supervisor = attempt.launch();
                heard(&mut supervisor).await;
                assert!(cgroup_left(&attempt) == attempt.has_cgroup());
                let begin = Instant::now();
                supervisor
                    .stop(EndReason::Cancelled, Span::from_millis(100))
                    .await
                    .unwrap();
                (attempt.finish(&mut supervisor).await, begin.elapsed())
            });
            // The grace, and then a second for everything to be gone.
            assert!(took.as_millis() < 1_100, "{took:?}");
            assert_eq!(finished.result.outcome.reason, EndReason::Cancelled);
            assert_eq!(finished.result.outcome.signal, Some(9));
            assert_eq!(processes_with(&marker), Vec::<u32>::new());
            assert!(!cgroup_left(&attempt));
        },
    );
}

#[test]
fn a_job_that_listens_ends_by_itself() {
    everyone("lifecycle::a_job_that_listens_ends_by_itself", || {
        let attempt =
            Attempt::shell("trap 'echo saved; exit 5' TERM; echo ready; sleep 500 & wait");
        let finished = block_on(async {
            let mut supervisor = attempt.launch();
            heard(&mut supervisor).await;
            supervisor
                .stop(EndReason::Preempted, Span::from_secs(30))
                .await
                .unwrap();
            attempt.finish(&mut supervisor).await
        });
        let outcome = &finished.result.outcome;
        assert_eq!(
            (outcome.reason, outcome.exit_code),
            (EndReason::Preempted, Some(5))
        );
        assert_eq!(finished.stdout(), "ready\nsaved\n");
    });
}

#[test]
fn r8_a_killed_supervisor_takes_everything_along() {
    row(
        &["R8"],
        "lifecycle::r8_a_killed_supervisor_takes_everything_along",
        || {
            let marker = marker(9102);
            let attempt = Attempt::shell(&format!(
                "setsid sleep {marker} & echo ready; sleep {marker}"
            ));
            block_on(async {
                let mut supervisor = attempt.launch();
                heard(&mut supervisor).await;
                let job = several_with(&marker);
                let own = processes_with(attempt.folder.path().to_str().unwrap());
                let pids = own
                    .iter()
                    .filter_map(|&pid| Pid::from_raw(pid.cast_signed()));
                // The supervisor and, inside, the first process.
                kill_process(
                    pids.min_by_key(|pid| pid.as_raw_nonzero()).unwrap(),
                    Signal::KILL,
                )
                .unwrap();
                assert_eq!(supervisor.next().await, SupervisorEvent::Died);
                gone(&job);
                assert_eq!(processes_with(&marker), Vec::<u32>::new());
                let adopted = Supervisor::adopt(attempt.folder.path()).unwrap();
                assert!(matches!(adopted, Adopted::Died), "{adopted:?}");
                assert!(!cgroup_left(&attempt));
            });
        },
    );
}

#[test]
fn a_job_goes_on_without_its_daemon_and_is_found_again() {
    everyone(
        "lifecycle::a_job_goes_on_without_its_daemon_and_is_found_again",
        || {
            let attempt =
                Attempt::shell("mkfifo gate; echo ready; read line < gate; echo $line; exit 7");
            block_on(async {
                let mut first = attempt.launch();
                heard(&mut first).await;
                drop(first);
            });
            // Another daemon, with another runtime.
            let finished = block_on(async {
                let refused = Supervisor::launch_with(
                    &crate::world::program(),
                    attempt.folder.path(),
                    &attempt.plan,
                );
                assert!(
                    matches!(refused, Err(LaunchError::Running(_))),
                    "{refused:?}"
                );
                let Adopted::Running(mut second) =
                    Supervisor::adopt(attempt.folder.path()).unwrap()
                else {
                    panic!("the job should run");
                };
                let SupervisorEvent::Started { .. } = second.next().await else {
                    panic!("what happened before should be told again");
                };
                write_line(&attempt.path("work/gate"), "go on");
                attempt.finish(&mut second).await
            });
            assert_eq!(finished.stdout(), "ready\ngo on\n");
            assert_eq!(finished.result.outcome.exit_code, Some(7));
            block_on(async {
                // The supervisor may be about to end still; what it says then is the same.
                let result = match Supervisor::adopt(attempt.folder.path()).unwrap() {
                    Adopted::Ended(result) => result,
                    Adopted::Running(mut ending) => attempt.finish(&mut ending).await.result,
                    other => panic!("the result should be found: {other:?}"),
                };
                assert_eq!(result, finished.result);
            });
        },
    );
}

#[test]
fn without_a_daemon_the_lease_ends_the_job() {
    everyone("lifecycle::without_a_daemon_the_lease_ends_the_job", || {
        let folder = tempfile::tempdir().unwrap();
        let lease = folder.path().join("lease");
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        // Long over, and for two seconds at that.
        fs::write(&lease, format!("{} 2000 1\n", boot.trim())).unwrap();
        let mut attempt = Attempt::shell("trap '' TERM; echo ready; while :; do sleep 500; done");
        attempt.plan.lease = Some(lease);
        attempt.plan.grace = Span::from_secs(3600);
        block_on(async {
            let mut first = attempt.launch();
            heard(&mut first).await;
            // A daemon looks after the lease itself.
            drop(first);
        });
        // Ends by itself: nobody is connected, nobody asks.
        let lock = fs::File::open(attempt.path("lock")).unwrap();
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
        drop(lock);
        let result = block_on(async {
            match Supervisor::adopt(attempt.folder.path()).unwrap() {
                Adopted::Ended(result) => result,
                other => panic!("it should have ended: {other:?}"),
            }
        });
        assert_eq!(result.outcome.reason, EndReason::MachineLost);
        let wall = result.outcome.usage.wall.as_duration().as_millis();
        assert!((900..30_000).contains(&wall), "{wall} ms");
    });
}

fn write_line(path: &Path, line: &str) {
    let mut gate = fs::OpenOptions::new().write(true).open(path).unwrap();
    writeln!(gate, "{line}").unwrap();
}

#[test]
fn an_attempt_that_was_never_begun_is_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let adopted = Supervisor::adopt(folder.path()).unwrap();
        assert!(matches!(adopted, Adopted::NeverStarted), "{adopted:?}");
        assert!(Supervisor::adopt(&folder.path().join("none")).is_err());
    });
}

#[test]
fn a_stop_before_the_start_is_not_lost() {
    everyone("lifecycle::a_stop_before_the_start_is_not_lost", || {
        let attempt = Attempt::shell("trap '' TERM; sleep 500");
        let finished = block_on(async {
            let mut supervisor = attempt.launch();
            supervisor
                .stop(EndReason::MachineOwner, Span::from_secs(0))
                .await
                .unwrap();
            attempt.finish(&mut supervisor).await
        });
        assert_eq!(finished.result.outcome.reason, EndReason::MachineOwner);
        assert_eq!(finished.text(LogStream::System), "");
    });
}

#[test]
fn jobs_side_by_side_do_not_see_each_other() {
    row(
        &["F20", "F27"],
        "lifecycle::jobs_side_by_side_do_not_see_each_other",
        || {
            let marker = marker(9103);
            let first = Attempt::shell(&format!(
                "echo secret > /tmp/file; echo ready; exec sleep {marker}"
            ));
            let second = Attempt::shell(&format!(
                "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c {marker}.; ls -A /tmp /dev/shm; kill -9 -1; true"
            ));
            let (found, finished) = block_on(async {
                let mut running = first.launch();
                heard(&mut running).await;
                let mut other = second.launch();
                let finished = second.finish(&mut other).await;
                let found = processes_with(&marker).len();
                running
                    .stop(EndReason::Cancelled, Span::from_secs(0))
                    .await
                    .unwrap();
                first.finish(&mut running).await;
                (found, finished)
            });
            assert!(found >= 1, "the first job should have run on: {finished:?}");
            let out = finished.stdout();
            assert!(out.contains("/tmp:\n") && !out.contains("file"), "{out}");
        },
    );
}
