//! The agent daemon against a coordinator's end that is played by the test: real connections, real folders,
//! real supervisors and sandboxes.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod coordinator;
mod following;
mod lazily;
mod leaks;
mod owner;
mod params;
mod spec;
mod updates;

use std::{path::PathBuf, time::Duration};

use agent::{
    control::{AgentStatus, ConnectionState, ControlAnswer, ControlRequest, ask},
    daemon::{AgentConfig, Running, run_with},
};
use common::{
    code::Code,
    problem::Problem,
    status::EndReason,
    time::Span,
    wire::agent::{AttemptReport, Goal, ReportStage},
};

use crate::coordinator::{Bench, attempt, text_of};

async fn start(bench: &Bench) -> Running {
    let config = AgentConfig::new(bench.folder().path());
    run_with(config, env!("CARGO_BIN_EXE_compute-share").into())
        .await
        .unwrap()
}

/// Returns the root of the files that the shell sees that runs `script`.
fn seen_by(script: &str) -> PathBuf {
    let mut processes = std::fs::read_dir("/proc").unwrap().flatten();
    let runs = |path: &PathBuf| {
        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(script) && path.join("root/work").exists()
    };
    processes
        .find_map(|entry| Some(entry.path()).filter(runs))
        .expect("the script runs")
        .join("root")
}

async fn status(bench: &Bench) -> AgentStatus {
    let folder = bench.folder().path().to_owned();
    let asking = tokio::task::spawn_blocking(move || ask(&folder, &ControlRequest::Status));
    match asking.await.unwrap().unwrap() {
        ControlAnswer::Status(status) => *status,
        other => panic!("{other:?}"),
    }
}

async fn order(bench: &Bench, request: ControlRequest) -> ControlAnswer {
    let folder = bench.folder().path().to_owned();
    tokio::task::spawn_blocking(move || ask(&folder, &request))
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_runs_and_everything_of_it_is_told_once() {
    let bench = Bench::approved();
    let running = start(&bench).await;
    let mut coordinator = bench.accept().await;
    assert_eq!(coordinator.hello.attempts, []);
    coordinator
        .assign(1, &[(0, Goal::Run, "echo hello; echo oops >&2; exit 3")])
        .await;

    let started = coordinator.report().await;
    assert!(
        matches!(started, (a, AttemptReport::Started { .. }) if a == attempt(0)),
        "{started:?}"
    );
    coordinator
        .acknowledge(attempt(0), ReportStage::Started)
        .await;
    let (_, ended) = coordinator.report().await;
    let AttemptReport::Ended {
        outcome, artifacts, ..
    } = ended
    else {
        panic!("{ended:?}");
    };
    assert_eq!(
        (outcome.reason, outcome.exit_code),
        (EndReason::Exited, Some(3))
    );
    assert!(!artifacts);
    coordinator
        .acknowledge(attempt(0), ReportStage::Ended)
        .await;
    let log = coordinator.log(attempt(0), outcome.log_bytes).await;
    let text = text_of(&log);
    assert!(
        text.contains("hello\n") && text.contains("oops\n"),
        "{text}"
    );

    let folder = bench.folder().attempt(attempt(0));
    assert!(folder.exists());
    coordinator.assign(2, &[]).await;
    // The next heartbeat comes after the assignment was dealt with.
    coordinator.heartbeat().await;
    coordinator.heartbeat().await;
    assert_eq!(status(&bench).await.running, []);
    running.stop();
    assert_eq!(running.wait().await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_acknowledged_is_said_again_after_a_reconnect() {
    let bench = Bench::approved();
    let running = start(&bench).await;
    let mut coordinator = bench.accept().await;
    coordinator.assign(1, &[(0, Goal::Run, "true")]).await;
    assert!(matches!(
        coordinator.report().await.1,
        AttemptReport::Started { .. }
    ));
    assert!(matches!(
        coordinator.report().await.1,
        AttemptReport::Ended { .. }
    ));
    coordinator
        .acknowledge(attempt(0), ReportStage::Started)
        .await;
    coordinator.heartbeat().await;
    coordinator.cut();

    let mut coordinator = bench.accept().await;
    assert_eq!(coordinator.hello.attempts, [attempt(0)]);
    assert_eq!(coordinator.hello.generation, 1);
    assert!(matches!(
        coordinator.report().await.1,
        AttemptReport::Ended { .. }
    ));
    running.stop();
    assert_eq!(running.wait().await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_outlives_the_agent_and_is_adopted() {
    let bench = Bench::approved();
    let running = start(&bench).await;
    let mut coordinator = bench.accept().await;
    let wait = format!(
        ": {}; echo one; while [ ! -e /work/go ]; do sleep 0.02; done; echo two",
        std::process::id()
    );
    let wait = wait.as_str();
    coordinator.assign(1, &[(0, Goal::Run, wait)]).await;
    assert!(matches!(
        coordinator.report().await.1,
        AttemptReport::Started { .. }
    ));
    let first = coordinator.log_begun(attempt(0)).await;
    assert!(text_of(&first).contains("one\n"));
    let answer = order(
        &bench,
        ControlRequest::Stop {
            how: agent::control::StopHow::Leave,
        },
    )
    .await;
    assert_eq!(answer, ControlAnswer::Stopping { jobs_left: 1 });
    assert_eq!(running.wait().await, Ok(()));

    let go = seen_by(wait).join("work/go");
    std::fs::write(go, b"").unwrap();
    let running = start(&bench).await;
    let mut coordinator = bench.accept().await;
    assert_eq!(coordinator.hello.attempts, [attempt(0)]);
    coordinator.assign(1, &[(0, Goal::Run, wait)]).await;
    assert!(matches!(
        coordinator.report().await.1,
        AttemptReport::Started { .. }
    ));
    let (_, ended) = coordinator.report().await;
    let AttemptReport::Ended { outcome, .. } = ended else {
        panic!("{ended:?}");
    };
    assert_eq!(
        (outcome.reason, outcome.exit_code),
        (EndReason::Exited, Some(0))
    );
    let log = coordinator.log(attempt(0), outcome.log_bytes).await;
    assert_eq!(text_of(&log).matches("one\n").count(), 1);
    assert!(text_of(&log).ends_with("two\n"));
    running.stop();
    assert_eq!(running.wait().await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_what_runs_with_the_reason_given() {
    let bench = Bench::approved();
    let running = start(&bench).await;
    let mut coordinator = bench.accept().await;
    coordinator.assign(1, &[(0, Goal::Run, "sleep 1000")]).await;
    assert!(matches!(
        coordinator.report().await.1,
        AttemptReport::Started { .. }
    ));
    let reason = EndReason::Cancelled;
    coordinator
        .assign(2, &[(0, Goal::Stop { reason }, "sleep 1000")])
        .await;
    let (_, ended) = coordinator.report().await;
    assert!(
        matches!(&ended, AttemptReport::Ended { outcome, .. } if outcome.reason == reason),
        "{ended:?}"
    );
    // One that it never heard of is ended, too, or the coordinator would wait for ever.
    coordinator
        .assign(3, &[(1, Goal::Stop { reason }, "true")])
        .await;
    let (unknown, ended) = coordinator.report().await;
    assert_eq!(unknown, attempt(1));
    assert!(matches!(
        ended,
        AttemptReport::Ended {
            artifacts: false,
            ..
        }
    ));
    assert!(coordinator.log(attempt(1), 0).await.is_empty());
    running.stop();
    assert_eq!(running.wait().await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_contact_for_a_lease_the_attempt_is_ended_here() {
    let bench = Bench::approved();
    let running = start(&bench).await;
    let mut coordinator = bench.accept_with_lease(Span::from_millis(600)).await;
    coordinator.assign(1, &[(0, Goal::Run, "sleep 1000")]).await;
    assert!(matches!(
        coordinator.report().await.1,
        AttemptReport::Started { .. }
    ));
    // Heartbeats go unanswered from here.
    let (_, ended) = coordinator.report().await;
    assert!(
        matches!(&ended, AttemptReport::Ended { outcome, .. } if outcome.reason == EndReason::MachineLost),
        "{ended:?}"
    );
    running.stop();
    assert_eq!(running.wait().await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_is_over_cuts_every_grace_short() {
    let bench = Bench::approved();
    let running = start(&bench).await;
    let mut coordinator = bench.accept_with_lease(Span::from_secs(1)).await;
    let deaf = "trap '' TERM; while :; do sleep 1000; done";
    let (first, second) = ((0, Goal::Run, deaf), (1, Goal::Run, deaf));
    coordinator.assign(1, &[first, second]).await;
    for _ in 0..2 {
        assert!(matches!(
            coordinator.report().await.1,
            AttemptReport::Started { .. }
        ));
    }
    let reason = EndReason::Cancelled;
    let told = (1, Goal::Stop { reason }, deaf);
    coordinator.assign(2, &[first, told]).await;
    // Heartbeats go unanswered. The jobs' own grace is five seconds.
    for _ in 0..2 {
        let (_, ended) = coordinator.report().await;
        let AttemptReport::Ended { outcome, .. } = ended else {
            panic!("{ended:?}");
        };
        let wall = outcome.usage.wall.as_duration();
        assert!(wall < Duration::from_secs(4), "{wall:?}");
    }
    running.stop();
    assert_eq!(running.wait().await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_waits_for_approval_and_claims_its_certificate() {
    let bench = Bench::registered();
    let running = start(&bench).await;
    let mut connection = running.connection();
    let claim = bench.accept_claim().await;
    let waiting =
        |state: &ConnectionState| matches!(state, ConnectionState::WaitingForApproval { .. });
    connection.wait_for(waiting).await.unwrap();
    assert_eq!(
        status(&bench).await.connection.as_str(),
        "waiting for approval"
    );
    claim.approve(&bench).await;
    let coordinator = bench.accept().await;
    let connected = |state: &ConnectionState| matches!(state, ConnectionState::Connected { .. });
    connection.wait_for(connected).await.unwrap();
    drop(coordinator);
    running.stop();
    assert_eq!(running.wait().await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_machine_says_so_and_ends() {
    let bench = Bench::registered();
    let running = start(&bench).await;
    let claim = bench.accept_claim().await;
    claim
        .refuse(&Problem::new(
            Code::MachineRejected,
            "no certificate",
            "too old",
        ))
        .await;
    let problem = running.wait().await.unwrap_err();
    assert_eq!(problem.code, Code::MachineRejected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_works_offline_survives_a_restart_and_is_told() {
    let bench = Bench::approved();
    bench.unplug();
    let running = start(&bench).await;
    let answer = order(
        &bench,
        ControlRequest::Pause {
            span: None,
            gpus: Vec::new(),
        },
    )
    .await;
    assert!(matches!(answer, ControlAnswer::Paused(Some(_))));
    running.stop();
    assert_eq!(running.wait().await, Ok(()));

    let bench = bench.plugged_in();
    let running = start(&bench).await;
    let mut coordinator = bench.accept().await;
    assert!(coordinator.hello.report.paused.is_some());
    // What crossed the pause on its way is not run, and not blamed on the job.
    coordinator.assign(1, &[(0, Goal::Run, "true")]).await;
    let (_, ended) = coordinator.report().await;
    assert!(
        matches!(&ended, AttemptReport::Ended { outcome, .. } if outcome.reason == EndReason::MachineOwner),
        "{ended:?}"
    );
    order(&bench, ControlRequest::Resume).await;
    let report = coordinator.news().await;
    assert_eq!(report.paused, None);
    // A pause with an end resumes by itself.
    let span = Some(Span::from_millis(50));
    order(
        &bench,
        ControlRequest::Pause {
            span,
            gpus: Vec::new(),
        },
    )
    .await;
    assert!(coordinator.news().await.paused.is_some());
    assert_eq!(coordinator.news().await.paused, None);
    running.stop();
    assert_eq!(running.wait().await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_machine_ends_what_runs_and_then_the_agent() {
    let bench = Bench::approved();
    let running = start(&bench).await;
    let mut coordinator = bench.accept().await;
    coordinator.assign(1, &[(0, Goal::Run, "sleep 1000")]).await;
    assert!(matches!(
        coordinator.report().await.1,
        AttemptReport::Started { .. }
    ));
    coordinator.revoke();
    assert_eq!(
        running.wait().await.unwrap_err().code,
        Code::CertificateRevoked
    );
    assert!(
        bench
            .folder()
            .attempt(attempt(0))
            .join("result.json")
            .exists()
    );
}
