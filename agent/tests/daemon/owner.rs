//! The owner comes back: what the rules do to what runs, with a login manager on a bus of its own.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use agent::{
    control::{ControlAnswer, ControlRequest, StopHow},
    daemon::{AgentConfig, Roots, Running, run_with},
};
use common::{
    code::Code,
    machine::PausedBy,
    status::EndReason,
    wire::agent::{AttemptReport, Goal, ReportStage},
};
use harness::Seat;

use crate::{
    coordinator::{Bench, Coordinator, attempt, soon},
    order, seen_by, status,
};

/// Returns a job that leaves a sign of life every few milliseconds, and is this test's alone.
fn ticking() -> String {
    format!(
        ": {}; while :; do date +%s%N > /work/tick.new; mv /work/tick.new /work/tick; sleep 0.01; done",
        std::process::id()
    )
}

async fn start_at(seat: &Seat, bench: &Bench, rules: &str) -> Running {
    std::fs::write(bench.folder().owner_rules(), rules).unwrap();
    let config = AgentConfig {
        surroundings: Roots::standing_in(seat.root(), seat.address()),
        ..AgentConfig::new(bench.folder().path())
    };
    run_with(config, env!("CARGO_BIN_EXE_compute-share").into())
        .await
        .unwrap()
}

/// An agent whose owner can come and go, and a job of somebody else on it.
struct Visited {
    seat: Seat,
    bench: Bench,
    running: Running,
    coordinator: Coordinator,
    /// What the job changes as long as it is not frozen.
    file: PathBuf,
    folder: tempfile::TempDir,
}

impl Visited {
    async fn with_a_job(rules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let seat = tokio::task::block_in_place(|| Seat::new(folder.path()));
        let bench = Bench::approved().of_others();
        let running = start_at(&seat, &bench, rules).await;
        let mut coordinator = bench.accept().await;
        coordinator.assign(1, &[(0, Goal::Run, &ticking())]).await;
        begun(&mut coordinator).await;
        let file = seen_by(&ticking()).join("work/tick");
        until_ticks(&file).await;
        Self {
            seat,
            bench,
            running,
            coordinator,
            file,
            folder,
        }
    }
}

/// Asks the seat for something, which waits for its own runtime.
fn at(seat: &Seat, what: impl FnOnce(&Seat)) {
    tokio::task::block_in_place(|| what(seat));
}

async fn begun(coordinator: &mut Coordinator) {
    let report = coordinator.report().await.1;
    assert!(
        matches!(report, AttemptReport::Started { .. }),
        "{report:?}"
    );
    coordinator
        .acknowledge(attempt(0), ReportStage::Started)
        .await;
}

/// Returns the job's last sign of life.
fn tick(file: &Path) -> Option<String> {
    std::fs::read_to_string(file).ok()
}

async fn until_ticks(file: &Path) {
    let before = tick(file);
    soon("a tick", async {
        while tick(file) == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Returns how long the job still gave signs of life: none came for as long as this waits.
async fn stands_still(file: &Path) -> Duration {
    let begun = Instant::now();
    let (mut last, mut at) = (tick(file), Instant::now());
    soon("standing still", async {
        while at.elapsed() < Duration::from_millis(700) {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let now = tick(file);
            if now != last {
                (last, at) = (now, Instant::now());
            }
        }
    })
    .await;
    at.duration_since(begun)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_job_freezes_when_its_machines_owner_returns_goes_on_and_is_ended_at_last() {
    let rules = "when: {idle_for: 2s}\nyield: {on_return: freeze, continue_after: 1s, freeze_at_most: 2s, grace: 1s}\n";
    let Visited {
        seat,
        bench,
        running,
        mut coordinator,
        file,
        folder: _folder,
    } = Visited::with_a_job(rules).await;

    at(&seat, Seat::come_back);
    let frozen_after = stands_still(&file).await;
    assert!(frozen_after < Duration::from_secs(1), "{frozen_after:?}");
    let shown = status(&bench).await;
    assert!(shown.running[0].frozen_since.is_some(), "{shown:?}");
    let pause = shown.pause.unwrap();
    assert_eq!(pause.by, PausedBy::Rule);
    assert!(
        pause
            .reason
            .starts_with("its owner is at the keyboard (since "),
        "{pause:?}"
    );
    assert!(
        shown.standing.ends_with("; jobs are frozen"),
        "{}",
        shown.standing
    );
    let presence = &shown.circumstances[0];
    assert!(presence.contains("(logind)"), "{presence}");

    // Away again, and it goes on where it was.
    at(&seat, |seat| seat.leave(Duration::from_secs(10)));
    until_ticks(&file).await;

    // The second visit is longer than a job may stand still.
    at(&seat, Seat::come_back);
    let (_, ended) = coordinator.report().await;
    let AttemptReport::Ended { outcome, .. } = ended else {
        panic!("{ended:?}");
    };
    assert_eq!(outcome.reason, EndReason::MachineOwner);
    assert!(!outcome.reason.billed());
    let detail = outcome.detail.unwrap();
    assert!(
        detail.starts_with("its owner is at the keyboard"),
        "{detail}"
    );
    assert!(outcome.usage.frozen.as_duration() >= Duration::from_secs(2));
    running.stop();
    assert_eq!(running.wait().await, Ok(()));
}

/// What a job stood still before its agent was started again counts, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_new_agent_goes_on_counting_how_long_a_job_stands_still() {
    const AT_MOST: Duration = Duration::from_secs(5);
    let rules = "when: {idle_for: 2s}\nyield: {on_return: freeze, continue_after: 1s, freeze_at_most: 5s, grace: 1s}\n";
    let Visited {
        seat,
        bench,
        running: first,
        coordinator: _before,
        file,
        folder: _folder,
    } = Visited::with_a_job(rules).await;
    at(&seat, Seat::come_back);
    let frozen = Instant::now();
    while frozen.elapsed() < AT_MOST.mul_f32(0.7) {
        stands_still(&file).await;
    }
    first.stop();
    assert_eq!(first.wait().await, Ok(()));
    let again = start_at(&seat, &bench, rules).await;
    let restarted = Instant::now();
    let mut coordinator = bench.accept().await;
    let outcome = soon("its end", async {
        loop {
            if let AttemptReport::Ended { outcome, .. } = coordinator.report().await.1 {
                return outcome;
            }
        }
    })
    .await;
    assert_eq!(outcome.reason, EndReason::MachineOwner);
    assert!(frozen.elapsed() >= AT_MOST, "{:?}", frozen.elapsed());
    assert!(restarted.elapsed() < AT_MOST, "{:?}", restarted.elapsed());
    again.stop();
    assert_eq!(again.wait().await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn own_jobs_stay_and_a_rule_that_changes_takes_effect_and_a_broken_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let seat = tokio::task::block_in_place(|| Seat::new(folder.path()));
    let bench = Bench::approved();
    let running = start_at(&seat, &bench, "preset: always\n").await;
    let mut coordinator = bench.accept().await;
    coordinator.assign(1, &[(0, Goal::Run, &ticking())]).await;
    begun(&mut coordinator).await;
    let file = seen_by(&ticking()).join("work/tick");

    let rules = bench.folder().owner_rules();
    std::fs::write(&rules, "preset: idle\nwho: {not: [mallory]}\n").unwrap();
    at(&seat, Seat::come_back);
    let told = soon("a pause by rule", async {
        loop {
            let report = coordinator.news().await;
            if report.paused.is_some() {
                return report;
            }
        }
    })
    .await;
    assert_eq!(told.admits.not_members, ["mallory".parse().unwrap()]);
    until_ticks(&file).await;

    std::fs::write(&rules, "preset: idle\nwhen:\n  idel_for: 3s\n").unwrap();
    let shown = soon("a complaint", async {
        loop {
            let shown = status(&bench).await;
            if shown.owner_rules_problem.is_some() {
                return shown;
            }
        }
    })
    .await;
    let problem = shown.owner_rules_problem.unwrap();
    assert_eq!(problem.code, Code::Config);
    assert!(
        problem.why.contains("idle_for") && problem.why.contains("line 3"),
        "{problem}"
    );
    assert!(shown.pause.is_some());
    running.stop();
    assert_eq!(running.wait().await, Ok(()));

    // The agent goes with all that it knew. A job that nobody will ever ask for ends by itself.
    drop((coordinator, bench));
    soon("the end of what nobody looks after", async {
        while file.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn one_that_drains_takes_nothing_new_and_ends_with_the_last_job() {
    let bench = Bench::approved();
    let running = crate::start(&bench).await;
    let mut coordinator = bench.accept().await;
    let wait = format!(
        ": {}; while [ ! -e /work/go ]; do sleep 0.02; done",
        std::process::id()
    );
    let wait = wait.as_str();
    coordinator.assign(1, &[(0, Goal::Run, wait)]).await;
    begun(&mut coordinator).await;
    let how = StopHow::Drain;
    let answer = order(&bench, ControlRequest::Stop { how }).await;
    assert_eq!(answer, ControlAnswer::Stopping { jobs_left: 1 });
    let told = coordinator.news().await;
    assert_eq!(told.paused.map(|pause| pause.by), Some(PausedBy::Draining));
    coordinator
        .assign(2, &[(0, Goal::Run, wait), (1, Goal::Run, "true")])
        .await;
    let (refused, ended) = coordinator.report().await;
    assert_eq!(refused, attempt(1));
    assert!(
        matches!(&ended, AttemptReport::Ended { outcome, .. } if outcome.reason == EndReason::MachineOwner),
        "{ended:?}"
    );
    std::fs::write(seen_by(wait).join("work/go"), b"").unwrap();
    let (_, ended) = coordinator.report().await;
    assert!(
        matches!(&ended, AttemptReport::Ended { outcome, .. } if outcome.reason == EndReason::Exited),
        "{ended:?}"
    );
    coordinator.assign(3, &[]).await;
    assert_eq!(soon("the end", running.wait()).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gpu_that_is_not_there_cannot_be_paused() {
    let bench = Bench::approved();
    bench.unplug();
    let running = crate::start(&bench).await;
    let folder = bench.folder().path().to_owned();
    let request = ControlRequest::Pause {
        span: None,
        gpus: vec!["7".to_owned()],
    };
    let asking = tokio::task::spawn_blocking(move || agent::control::ask(&folder, &request));
    let problem = asking.await.unwrap().unwrap_err();
    assert_eq!(problem.code, Code::NotFound);
    assert!(problem.what.contains("GPU 7"), "{problem}");
    running.stop();
    assert_eq!(running.wait().await, Ok(()));
}
