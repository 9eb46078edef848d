//! A job that has to give way hears the signal that it asked for, and has time to write down how far it is.

use std::time::Instant;

use common::{
    job::Checkpoint,
    status::{EndReason, LogStream},
    time::Span,
};

use crate::{
    lifecycle::heard,
    world::{Attempt, Finished, block_on, everyone},
};

const ASKED: &str = "SIGUSR1 for a checkpoint; SIGTERM follows within ";

/// Runs a program until it has written something, has it stop for this reason, and returns what came of it.
fn stopped(program: &str, checkpoint: &str, reason: EndReason, grace: Span) -> Finished {
    let mut attempt = Attempt::shell(program);
    attempt.plan.checkpoint = Some(checkpoint.parse::<Checkpoint>().unwrap());
    block_on(async {
        let mut supervisor = attempt.launch();
        heard(&mut supervisor).await;
        supervisor.stop(reason, grace).await.unwrap();
        attempt.finish(&mut supervisor).await
    })
}

#[test]
fn a_job_that_writes_one_hears_of_it_and_others_of_it_do_not() {
    everyone(
        "checkpoint::a_job_that_writes_one_hears_of_it_and_others_of_it_do_not",
        || {
            // What does not handle the signal would end by it.
            let program = "(sleep 0.3; echo worker) & worker=$!
                trap 'echo asked' USR1; echo ready
                wait $worker; wait $worker; echo saved > /output/state; exit 5";
            let finished = stopped(
                program,
                "USR1:60s",
                EndReason::Preempted,
                Span::from_secs(30),
            );
            let outcome = &finished.result.outcome;
            assert_eq!(
                (outcome.reason, outcome.exit_code),
                (EndReason::Preempted, Some(5))
            );
            assert_eq!(finished.stdout(), "ready\nasked\nworker\n");
            let told = finished.text(LogStream::System);
            assert_eq!(told.lines().count(), 1, "{told}");
            assert!(told.ends_with("SIGTERM follows within 1m\n"), "{told}");
        },
    );
}

#[test]
fn a_job_that_does_not_hear_it_ends_at_once() {
    everyone(
        "checkpoint::a_job_that_does_not_hear_it_ends_at_once",
        || {
            let program = "trap 'echo terminated; exit 6' TERM; echo ready; sleep 500 & wait";
            let begun = Instant::now();
            let finished = stopped(
                program,
                "USR1:10m",
                EndReason::Preempted,
                Span::from_secs(300),
            );
            assert!(begun.elapsed().as_secs() < 100);
            assert_eq!(finished.result.outcome.exit_code, Some(6));
            assert_eq!(finished.stdout(), "ready\nterminated\n");
            let told = finished.text(LogStream::System);
            assert!(
                told.contains("nothing in the job handles SIGUSR1"),
                "{told}"
            );
        },
    );
}

#[test]
fn a_job_that_goes_on_regardless_is_ended_after_its_time() {
    everyone(
        "checkpoint::a_job_that_goes_on_regardless_is_ended_after_its_time",
        || {
            let program = "trap 'echo asked' USR1; trap 'echo terminated' TERM; echo ready
                while :; do sleep 0.02; done";
            let finished = stopped(
                program,
                "USR1:400ms",
                EndReason::Preempted,
                Span::from_millis(300),
            );
            let outcome = &finished.result.outcome;
            assert_eq!(
                (outcome.reason, outcome.signal),
                (EndReason::Preempted, Some(libc::SIGKILL))
            );
            assert_eq!(finished.stdout(), "ready\nasked\nterminated\n");
            let wall = outcome.usage.wall.as_duration().as_millis();
            assert!((700..30_000).contains(&wall), "{wall} ms");
        },
    );
}

#[test]
fn who_cancels_wants_no_checkpoint_and_an_owner_waits_no_longer_for_one() {
    everyone(
        "checkpoint::who_cancels_wants_no_checkpoint_and_an_owner_waits_no_longer_for_one",
        || {
            let program = "trap 'echo asked' USR1; echo ready; while :; do sleep 0.02; done";
            let cancelled = stopped(
                program,
                "USR1:10m",
                EndReason::Cancelled,
                Span::from_secs(300),
            );
            assert_eq!(cancelled.result.outcome.signal, Some(libc::SIGTERM));
            assert_eq!(cancelled.stdout(), "ready\n");
            assert_eq!(cancelled.text(LogStream::System), "");

            let owned = stopped(
                program,
                "USR1:10m",
                EndReason::MachineOwner,
                Span::from_millis(800),
            );
            assert_eq!(owned.result.outcome.signal, Some(libc::SIGTERM));
            assert_eq!(owned.stdout(), "ready\nasked\n");
            let told = owned.text(LogStream::System);
            assert!(told.contains(ASKED), "{told}");
            let wall = owned.result.outcome.usage.wall.as_duration().as_millis();
            assert!((400..30_000).contains(&wall), "{wall} ms");
        },
    );
}
