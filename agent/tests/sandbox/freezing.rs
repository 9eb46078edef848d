//! Holding a job still while its machine's owner is back.

use std::time::{Duration, Instant};

use agent::supervise::{Supervisor, SupervisorEvent};
use agent_core::sandbox_plan::Backend;
use common::{status::EndReason, time::Span, usage::UsageSample};

use crate::world::{Attempt, Finished, block_on, everyone, processes_with, row};

/// A job that never stops counting in a file, and says so once.
const COUNTING: &str = "i=0; echo ready; while :; do i=$((i+1)); echo $i > /work/count.new; mv /work/count.new /work/count; done";

async fn heard(supervisor: &mut Supervisor) {
    while !matches!(supervisor.next().await, SupervisorEvent::Logged { .. }) {}
}

async fn sampled(
    supervisor: &mut Supervisor,
    wanted: impl Fn(&UsageSample) -> bool,
) -> UsageSample {
    loop {
        if let SupervisorEvent::Used(sample) = supervisor.next().await
            && wanted(&sample)
        {
            return sample;
        }
    }
}

fn count(attempt: &Attempt) -> String {
    std::fs::read_to_string(attempt.path("work/count")).unwrap_or_default()
}

/// Returns after how long the count stood still for good.
async fn stands_still(attempt: &Attempt, since: Instant) -> Duration {
    let (mut seen, mut at) = (count(attempt), since.elapsed());
    loop {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let now = count(attempt);
        if now != seen {
            (seen, at) = (now, since.elapsed());
        }
        if since.elapsed() > at + Duration::from_millis(700) {
            return at;
        }
    }
}

async fn goes_on(attempt: &Attempt) {
    let seen = count(attempt);
    while count(attempt) == seen {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn stopped(attempt: &Attempt, supervisor: &mut Supervisor, grace: u64) -> Finished {
    let grace = Span::from_millis(grace);
    supervisor
        .stop(EndReason::MachineOwner, grace)
        .await
        .unwrap();
    attempt.finish(supervisor).await
}

#[test]
fn a_frozen_job_stands_still_and_its_time_does_not_run() {
    everyone(
        "freezing::a_frozen_job_stands_still_and_its_time_does_not_run",
        || {
            let mut attempt = Attempt::shell(COUNTING);
            attempt.plan.max_runtime = Some(Span::from_millis(900));
            let finished = block_on(async {
                let mut supervisor = attempt.launch();
                heard(&mut supervisor).await;
                let begin = Instant::now();
                supervisor.freeze(true).await.unwrap();
                // Said again, it changes nothing.
                supervisor.freeze(true).await.unwrap();
                let sample = sampled(&mut supervisor, |_| true).await;
                assert!(sample.frozen, "{sample:?}");
                let took = stands_still(&attempt, begin).await;
                println!("frozen after {took:?}");
                assert!(took < Duration::from_secs(1), "frozen after {took:?}");
                // Far beyond its time limit by the clock.
                tokio::time::sleep(Duration::from_millis(900)).await;
                supervisor.freeze(false).await.unwrap();
                goes_on(&attempt).await;
                attempt.finish(&mut supervisor).await
            });
            let outcome = &finished.result.outcome;
            assert_eq!(outcome.reason, EndReason::TimeLimit, "{finished:?}");
            let (wall, frozen) = (
                outcome.usage.wall.as_duration(),
                outcome.usage.frozen.as_duration(),
            );
            assert!(frozen >= Duration::from_millis(1500), "{outcome:?}");
            assert!(wall >= frozen + Duration::from_millis(850), "{outcome:?}");
        },
    );
}

#[test]
fn r9_a_frozen_job_that_is_stopped_gets_its_grace_and_goes() {
    row(
        &["R9"],
        "freezing::r9_a_frozen_job_that_is_stopped_gets_its_grace_and_goes",
        || {
            let attempt = Attempt::shell(
                "trap 'echo saved; exit 5' TERM; echo ready; while :; do sleep 0.05; done",
            );
            let finished = block_on(async {
                let mut supervisor = attempt.launch();
                heard(&mut supervisor).await;
                supervisor.freeze(true).await.unwrap();
                sampled(&mut supervisor, |sample| sample.frozen).await;
                stopped(&attempt, &mut supervisor, 30_000).await
            });
            let outcome = &finished.result.outcome;
            assert_eq!(
                (outcome.reason, outcome.exit_code),
                (EndReason::MachineOwner, Some(5)),
                "{finished:?}"
            );
        },
    );
}

#[test]
fn r9_a_frozen_job_that_is_killed_leaves_nothing() {
    row(
        &["R9"],
        "freezing::r9_a_frozen_job_that_is_killed_leaves_nothing",
        || {
            let marker = format!("9401.{}", std::process::id());
            let attempt = Attempt::shell(&format!(
                "trap '' TERM; setsid sleep {marker} & echo ready; while :; do sleep {marker}; done"
            ));
            let (finished, took) = block_on(async {
                let mut supervisor = attempt.launch();
                heard(&mut supervisor).await;
                supervisor.freeze(true).await.unwrap();
                sampled(&mut supervisor, |sample| sample.frozen).await;
                let begin = Instant::now();
                let finished = stopped(&attempt, &mut supervisor, 0).await;
                (finished, begin.elapsed())
            });
            assert_eq!(finished.result.outcome.signal, Some(9));
            assert_eq!(processes_with(&marker), Vec::<u32>::new());
            assert!(took < Duration::from_secs(1), "{took:?}");
        },
    );
}

#[test]
fn what_a_job_uses_is_seen_while_it_runs() {
    everyone("freezing::what_a_job_uses_is_seen_while_it_runs", || {
        let mut attempt = Attempt::shell(
            "head -c 3M /dev/zero > /work/file; sleep 600 & sleep 600 & while :; do :; done",
        );
        attempt.plan.limits.cpu = common::units::MilliCpu::cpus(2);
        let (sample, finished) = block_on(async {
            let mut supervisor = attempt.launch();
            let seen = |sample: &UsageSample| sample.cpu_percent > 0 && sample.disk.0 >= 3 << 20;
            let sample = sampled(&mut supervisor, seen).await;
            let finished = stopped(&attempt, &mut supervisor, 0).await;
            (sample, finished)
        });
        assert!(sample.cpu_percent <= 130, "{sample:?}");
        // Bubblewrap is one itself.
        let more = u32::from(matches!(attempt.plan.backend, Backend::Bubblewrap { .. }));
        assert_eq!(sample.processes, Some(3 + more), "{sample:?}");
        assert!(
            (100_000..64 << 20).contains(&sample.memory.unwrap().0),
            "{sample:?}"
        );
        assert!(!sample.frozen);
        let peak = finished.result.outcome.usage.peak_disk.unwrap();
        assert!((3 << 20..4 << 20).contains(&peak.0), "{peak:?}");
    });
}
