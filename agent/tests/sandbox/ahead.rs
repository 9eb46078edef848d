//! Supervisors that wait: started ahead, and taking one attempt after the other.

use std::{fs, time::Instant};

use agent::supervise::{Given, Secrets, SupervisorEvent, Supervisors};
use common::secret::SecretValue;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    lifecycle::gone,
    world::{Attempt, Finished, block_on, everyone, patience, processes_with, program},
};

/// Supervisors of attempts whose folders are where tests make theirs.
fn supervisors() -> Supervisors {
    Supervisors::new(Some(program()), std::env::temp_dir())
}

/// Runs an attempt to its end; returns its supervisor's process, which is named after the attempt.
async fn run(supervisors: &Supervisors, attempt: &Attempt, given: Given) -> (u32, Finished) {
    let folder = attempt.folder.path();
    let mut supervisor = supervisors
        .launch(folder, &attempt.plan, given, None)
        .unwrap();
    let process = supervisor.process_id().unwrap();
    while !matches!(supervisor.next().await, SupervisorEvent::Started { .. }) {}
    assert_eq!(shown(process), folder.to_str().unwrap());
    let finished = attempt.finish(&mut supervisor).await;
    supervisors.take_back(supervisor);
    (process, finished)
}

/// Returns the third word of a process's command line.
fn shown(process: u32) -> String {
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap();
    let word = line.split(|byte| *byte == 0).nth(2).unwrap();
    String::from_utf8(word.to_vec()).unwrap()
}

fn until_free(supervisors: &Supervisors, count: usize) {
    let begin = Instant::now();
    while supervisors.free() != count {
        assert!(begin.elapsed() < patience(), "{count} should be free");
        std::thread::yield_now();
    }
}

fn open_files(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

#[test]
fn one_takes_attempt_after_attempt_and_keeps_nothing_of_them() {
    everyone(
        "ahead::one_takes_attempt_after_attempt_and_keeps_nothing_of_them",
        || {
            let supervisors = supervisors();
            let process = block_on(async {
                let mut seen = None;
                for number in 1..=4 {
                    let script = format!("echo {number}; echo x > /tmp/f; exit {number}");
                    let attempt = Attempt::shell(&script);
                    let (process, finished) = run(&supervisors, &attempt, Given::default()).await;
                    assert_eq!(finished.stdout(), format!("{number}\n"));
                    assert_eq!(finished.result.outcome.exit_code, Some(number));
                    until_free(&supervisors, 1);
                    let now = (process, open_files(process));
                    assert_eq!(
                        *seen.get_or_insert(now),
                        now,
                        "the same, with the same files"
                    );
                }
                seen.unwrap().0
            });
            drop(supervisors);
            gone(&[process]);
        },
    );
}

#[test]
fn those_started_ahead_end_with_the_daemon() {
    everyone("ahead::those_started_ahead_end_with_the_daemon", || {
        let supervisors = supervisors();
        let attempt = Attempt::shell("echo ran");
        let ahead = block_on(async {
            supervisors.refill();
            assert_eq!(supervisors.free(), 2);
            // One that is just becoming another program has no command line for a moment: all that there are.
            let before = processes_with("");
            let (process, finished) = run(&supervisors, &attempt, Given::default()).await;
            assert_eq!(finished.stdout(), "ran\n");
            assert!(before.contains(&process), "{process} of {before:?}");
            until_free(&supervisors, 2);
            [process]
        });
        drop(supervisors);
        gone(&ahead);
    });
}

#[test]
fn one_that_was_killed_gets_no_attempt() {
    everyone("ahead::one_that_was_killed_gets_no_attempt", || {
        let supervisors = supervisors();
        block_on(async {
            let attempt = Attempt::shell("exit 3");
            let (first, _) = run(&supervisors, &attempt, Given::default()).await;
            until_free(&supervisors, 1);
            kill_process(Pid::from_raw(first.cast_signed()).unwrap(), Signal::KILL).unwrap();
            gone(&[first]);
            let attempt = Attempt::shell("exit 4");
            let (second, finished) = run(&supervisors, &attempt, Given::default()).await;
            assert_ne!(first, second);
            assert_eq!(finished.result.outcome.exit_code, Some(4));
        });
    });
}

#[test]
fn one_that_had_secrets_takes_no_other_attempt() {
    everyone("ahead::one_that_had_secrets_takes_no_other_attempt", || {
        let supervisors = supervisors();
        block_on(async {
            let secret = SecretValue {
                name: "TOKEN".parse().unwrap(),
                value: "hunter22-and-more".to_owned(),
            };
            let given = Given {
                secrets: Some(Secrets::new(vec![secret]).pack().unwrap()),
                ..Given::default()
            };
            let attempt = Attempt::shell("sleep 0.2; test -n \"$TOKEN\"");
            let (process, finished) = run(&supervisors, &attempt, given).await;
            assert_eq!(finished.result.outcome.exit_code, Some(0));
            gone(&[process]);
            assert_eq!(supervisors.free(), 0);
        });
    });
}
