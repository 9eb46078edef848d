//! Attempts that have the place of another one after it, of which nobody tells the agent.

use agent::control::{ControlAnswer, ControlRequest};
use common::wire::agent::{
    Assigned, Assignment, AttemptReport, CoordinatorMessage, Goal, ReportStage,
};

use crate::{
    coordinator::{Bench, Coordinator, attempt},
    order, seen_by,
    spec::spec,
    start,
};

impl Coordinator {
    /// Assigns attempts each of which waits for the one before it.
    async fn assign_row(&mut self, generation: u64, goals: &[(u32, Goal, &str)]) {
        let mut before = None;
        let attempts = goals.iter().map(|(task, goal, script)| Assigned {
            attempt: attempt(*task),
            goal: *goal,
            spec: spec(script, true),
            after: before.replace(attempt(*task)),
        });
        let assignment = CoordinatorMessage::Assignment(Assignment {
            generation,
            attempts: attempts.collect(),
            trees: Vec::new(),
        });
        self.tx.send(&assignment).await.unwrap();
    }
}

/// Returns the next reports as people would tell of them: task and what happened.
async fn told(coordinator: &mut Coordinator, count: usize) -> Vec<(u32, ReportStage)> {
    let mut told = Vec::new();
    while told.len() < count {
        let (attempt, report) = coordinator.report().await;
        told.push((attempt.task, report.stage()));
    }
    told
}

fn waiting(name: &str) -> String {
    format!(
        ": {name} {}; while [ ! -e /work/go ]; do sleep 0.02; done",
        std::process::id()
    )
}

fn let_go(script: &str) {
    std::fs::write(seen_by(script).join("work/go"), b"").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_begins_as_the_other_ends_and_both_are_told_in_that_order() {
    let bench = Bench::approved();
    let running = start(&bench).await;
    let mut coordinator = bench.accept().await;
    // By its id the second would come first.
    let row = [
        (7, Goal::Run, "true"),
        (3, Goal::Run, "true"),
        (5, Goal::Run, "true"),
    ];
    coordinator.assign_row(1, &row).await;
    let (started, ended) = (ReportStage::Started, ReportStage::Ended);
    let expect = [
        (7, started),
        (7, ended),
        (3, started),
        (3, ended),
        (5, started),
        (5, ended),
    ];
    assert_eq!(told(&mut coordinator, 6).await, expect);
    running.stop();
    assert_eq!(running.wait().await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wanted_back_is_given_back_unless_it_has_begun() {
    let bench = Bench::approved();
    let running = start(&bench).await;
    let mut coordinator = bench.accept().await;
    let (first, second) = (waiting("first"), waiting("second"));
    let row = |goal| {
        [
            (0, Goal::Run, first.as_str()),
            (1, goal, second.as_str()),
            (2, goal, "true"),
        ]
    };
    coordinator.assign_row(1, &row(Goal::Run)).await;
    assert_eq!(told(&mut coordinator, 1).await, [(0, ReportStage::Started)]);
    let_go(&first);
    let told_next = told(&mut coordinator, 2).await;
    assert_eq!(
        told_next,
        [(0, ReportStage::Ended), (1, ReportStage::Started)]
    );
    coordinator.assign_row(2, &row(Goal::Return)).await;
    assert_eq!(
        told(&mut coordinator, 1).await,
        [(2, ReportStage::Returned)]
    );
    let_go(&second);
    assert_eq!(told(&mut coordinator, 1).await, [(1, ReportStage::Ended)]);
    running.stop();
    assert_eq!(running.wait().await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_begins_in_anothers_place_without_a_coordinator_or_on_a_paused_machine() {
    let bench = Bench::approved();
    let running = start(&bench).await;
    let mut coordinator = bench.accept().await;
    let first = waiting("first");
    let row = [(0, Goal::Run, first.as_str()), (1, Goal::Run, "true")];
    coordinator.assign_row(1, &row).await;
    assert_eq!(told(&mut coordinator, 1).await, [(0, ReportStage::Started)]);
    coordinator.cut();
    let_go(&first);
    let mut coordinator = bench.accept().await;
    let told_again = told(&mut coordinator, 2).await;
    assert_eq!(
        told_again,
        [(0, ReportStage::Started), (0, ReportStage::Ended)]
    );
    // By an old word it does not begin either.
    coordinator.heartbeat().await;
    let paused = order(
        &bench,
        ControlRequest::Pause {
            span: None,
            gpus: Vec::new(),
        },
    )
    .await;
    assert!(matches!(paused, ControlAnswer::Paused(Some(_))));
    coordinator.assign_row(2, &row).await;
    let (returned, report) = coordinator.report().await;
    assert_eq!((returned, report), (attempt(1), AttemptReport::Returned));
    running.stop();
    assert_eq!(running.wait().await, Ok(()));
}
