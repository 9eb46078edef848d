//! Sandboxes that tasks of one job share: each finds what it would find in one of its own.

use std::{
    fs,
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};

use agent::supervise::{Given, Staying, SupervisorEvent, Supervisors};
use agent_core::sandbox_plan::Cgroup;
use common::{
    id::{AttemptId, JobId},
    units::Bytes,
};

use crate::{
    lifecycle::gone,
    world::{Attempt, Finished, block_on, everyone, patience, program},
};

/// What a sandbox was made for: never the same, as tests meet on a machine, and some in one process.
fn somebody() -> AttemptId {
    static ASKED: AtomicU32 = AtomicU32::new(1);
    AttemptId {
        job: JobId::from_bytes([9; 16]),
        task: std::process::id(),
        number: ASKED.fetch_add(1, Ordering::Relaxed),
    }
}

/// Prints which sandbox it is in: numbers of namespaces are used again, so when its devices were made counts as well.
const WHICH: &str = "echo $(readlink /proc/self/ns/pid) $(stat -c %y /dev)";

fn supervisors() -> Supervisors {
    Supervisors::new(Some(program()), std::env::temp_dir())
}

/// Attempts that may share a sandbox, by their scripts; `None` where sandboxes of this kind cannot be shared.
fn tasks<const N: usize>(scripts: [&str; N]) -> Option<[Attempt; N]> {
    let mut attempts = scripts.map(Attempt::shell);
    let first = somebody();
    for attempt in &mut attempts {
        if !attempt.plan.could_be_shared() {
            return None;
        }
        attempt.plan.share(first);
    }
    Some(attempts)
}

/// Returns whether the kernel can count each task by itself; else each gets a sandbox of its own.
fn counts_each(attempt: &Attempt) -> bool {
    let Cgroup::V2 { base } = &attempt.host.cgroup else {
        return true;
    };
    let folder = base.join(format!("attempt-{}-peak", somebody()));
    fs::create_dir(&folder).unwrap();
    // An older one opens it for root, and refuses what is written.
    let forgotten = fs::write(folder.join("memory.peak"), "0");
    fs::remove_dir(folder).unwrap();
    forgotten.is_ok()
}

/// Does what the daemon does between two tasks: the folders of the last one become the next one's.
fn move_in(last: &Attempt, next: &Attempt) {
    for name in ["work", "output"] {
        for entry in fs::read_dir(last.path(name)).unwrap() {
            let path = entry.unwrap().path();
            let removed = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
            removed.unwrap();
        }
        fs::rename(last.path(name), next.path(name)).unwrap();
    }
}

/// Runs an attempt to its end; returns its supervisor once that can take another.
async fn run(
    supervisors: &Supervisors,
    attempt: &Attempt,
    stays: Option<Staying>,
) -> (Finished, Option<Staying>) {
    let folder = attempt.folder.path();
    let launched = supervisors.launch(folder, &attempt.plan, Given::default(), stays);
    let mut supervisor = launched.unwrap();
    let result = loop {
        match supervisor.next().await {
            SupervisorEvent::Ended(result) => break result,
            SupervisorEvent::Died => panic!("the supervisor died"),
            _ => {}
        }
    };
    let mut stays = Supervisors::stay(supervisor);
    let begin = Instant::now();
    while let Some(one) = &mut stays {
        match one.is_ready() {
            Some(true) => break,
            Some(false) => assert!(begin.elapsed() < patience(), "it should be ready"),
            None => stays = None,
        }
        std::thread::yield_now();
    }
    (attempt.finished(result), stays)
}

/// Runs two attempts, the second where the first has ended, if it can; returns whether that was so, and the second's
/// end.
fn one_after_the_other(first: &Attempt, second: &Attempt) -> (bool, [Finished; 2]) {
    let supervisors = supervisors();
    let finished = block_on(async {
        let (one, stays) = run(&supervisors, first, None).await;
        move_in(first, second);
        let (two, stays) = run(&supervisors, second, stays).await;
        drop(stays);
        [one, two]
    });
    let which = finished.each_ref().map(|one| {
        let stdout = one.stdout();
        stdout.lines().next().unwrap().to_owned()
    });
    assert!(which[0].starts_with("pid:["), "{which:?}");
    (which[0] == which[1], finished)
}

#[test]
fn a_task_finds_nothing_of_the_one_before_it() {
    everyone("shared::a_task_finds_nothing_of_the_one_before_it", || {
        let leaves = format!(
            "{WHICH}; echo one; echo x > /tmp/a; mkdir -p /tmp/b/c; echo x > /tmp/b/c/d; \
             echo x > /dev/shm/e; echo x > /work/f; mkdir /work/g; chmod 0 /tmp; umask 0; \
             setsid sleep 1000 & sleep 0.05; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; \
             kill -9 $$"
        );
        let finds = format!(
            "{WHICH}; ls -A /tmp /dev/shm /dev/mqueue /work /output; \
             ls -d /proc/[0-9]* | wc -l; stat -c %a /tmp; umask; echo two >&2; exit 3"
        );
        let Some([first, second]) = tasks([&leaves, &finds]) else {
            return;
        };
        let (same, [one, two]) = one_after_the_other(&first, &second);
        assert_eq!(same, counts_each(&first), "one sandbox for both");
        assert_eq!(one.result.outcome.signal, Some(libc::SIGKILL));
        let stdout = two.stdout();
        let seen: Vec<&str> = stdout
            .lines()
            .skip(1)
            .filter(|line| !line.is_empty())
            .collect();
        // The first process, the shell, and what lists them.
        let empty = ["/dev/mqueue:", "/dev/shm:", "/output:", "/tmp:", "/work:"];
        assert_eq!(seen[..5], empty, "{stdout}");
        assert_eq!(seen[6..], ["1777", "0022"], "{stdout}");
        assert!(seen[5].parse::<u32>().unwrap() <= 4, "{stdout}");
        assert_eq!(two.text(common::status::LogStream::Stderr), "two\n");
        assert_eq!(two.result.outcome.exit_code, Some(3));
        let took = |one: &Finished| one.result.outcome.usage.cpu.as_duration();
        assert!(took(&two) * 3 < took(&one), "{two:?} {one:?}");
    });
}

#[test]
fn each_has_its_own_peak_of_memory() {
    everyone("shared::each_has_its_own_peak_of_memory", || {
        let much = format!("{WHICH}; head -c 67108864 /dev/zero > /tmp/x; exit 0");
        let Some([first, second]) = tasks([&much, WHICH]) else {
            return;
        };
        let (same, [one, two]) = one_after_the_other(&first, &second);
        let peak = |one: &Finished| one.result.outcome.usage.peak_memory.unwrap();
        assert!(peak(&one) > Bytes::mib(60), "{one:?}");
        assert!(peak(&two) < Bytes::mib(30), "{two:?}");
        assert_eq!(same, counts_each(&first), "one sandbox for both");
    });
}

#[test]
fn a_task_that_needs_another_sandbox_gets_one() {
    everyone("shared::a_task_that_needs_another_sandbox_gets_one", || {
        let Some([first, mut second]) = tasks([WHICH, WHICH]) else {
            return;
        };
        second.plan.limits.memory = Bytes::mib(300);
        let (same, [_, two]) = one_after_the_other(&first, &second);
        assert!(!same, "the limits differ");
        assert_eq!(two.result.outcome.exit_code, Some(0));
    });
}

#[test]
fn what_cannot_be_removed_ends_the_sandbox() {
    everyone("shared::what_cannot_be_removed_ends_the_sandbox", || {
        for leaves in [
            // System V's memory belongs to nobody's process.
            "ipcmk -M 4096 > /dev/null; test $(ipcs -m | grep -c 0x) = 1",
            // The next task would begin with these.
            "prlimit --pid 1 --nofile=64:64",
            "renice -n 5 -p 1 > /dev/null",
            "taskset -p 1 1 > /dev/null; test $(nproc) -gt 1 || prlimit --pid 1 --core=0",
            // What is in the output folder has still to be sent.
            "echo result > /output/file",
        ] {
            let leaves = format!("{WHICH}; {leaves}");
            let Some([first, second]) = tasks([&leaves, WHICH]) else {
                return;
            };
            let (same, [one, two]) = one_after_the_other(&first, &second);
            assert!(!same, "{leaves}");
            assert_eq!(one.result.outcome.exit_code, Some(0), "{leaves}");
            assert_eq!(two.result.outcome.exit_code, Some(0), "{leaves}");
        }
    });
}

#[test]
fn what_becomes_of_one_task_becomes_of_no_other() {
    everyone(
        "shared::what_becomes_of_one_task_becomes_of_no_other",
        || {
            let sleeps = format!("{WHICH}; sleep 1000");
            let Some([first, mut second, third]) = tasks([WHICH, &sleeps, WHICH]) else {
                return;
            };
            second.plan.max_runtime = Some(common::time::Span::from_millis(200));
            second.plan.grace = common::time::Span::from_secs(0);
            let supervisors = supervisors();
            block_on(async {
                let (_, stays) = run(&supervisors, &first, None).await;
                move_in(&first, &second);
                let (two, stays) = run(&supervisors, &second, stays).await;
                assert_eq!(
                    two.result.outcome.reason,
                    common::status::EndReason::TimeLimit
                );
                move_in(&second, &third);
                let (three, stays) = run(&supervisors, &third, stays).await;
                assert_eq!(three.result.outcome.exit_code, Some(0));
                assert_ne!(
                    two.stdout(),
                    three.stdout(),
                    "it was ended with its sandbox"
                );
                drop(stays);
            });
        },
    );
}

#[test]
fn a_sandbox_that_nobody_wants_ends_with_the_daemon() {
    everyone(
        "shared::a_sandbox_that_nobody_wants_ends_with_the_daemon",
        || {
            let Some([attempt]) = tasks([WHICH]) else {
                return;
            };
            let supervisors = supervisors();
            let process = block_on(async {
                let folder = attempt.folder.path();
                let launched = supervisors.launch(folder, &attempt.plan, Given::default(), None);
                let mut supervisor = launched.unwrap();
                let process = supervisor.process_id().unwrap();
                while !matches!(supervisor.next().await, SupervisorEvent::Ended(_)) {}
                drop(Supervisors::stay(supervisor));
                process
            });
            gone(&[process]);
            let name = format!("attempt-{}", attempt.plan.shared.unwrap());
            for base in attempt.host.cgroup.bases() {
                let left = fs::exists(base.join(&name)).unwrap();
                assert!(!left, "{}", base.display());
            }
        },
    );
}
