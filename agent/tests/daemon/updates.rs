//! Sets that leave out what the agent was told before.

use common::wire::agent::{
    Assigned, AssignmentUpdate, AttemptReport, CoordinatorMessage, Goal, KnownAttempt, ReportStage,
};

use crate::{
    coordinator::{Bench, Coordinator, attempt},
    spec::spec,
    start,
};

fn known(task: u32, goal: Goal) -> KnownAttempt {
    KnownAttempt {
        attempt: attempt(task),
        goal,
        after: None,
    }
}

async fn update(coordinator: &mut Coordinator, new: Vec<Assigned>, known: Vec<KnownAttempt>) {
    let update = AssignmentUpdate {
        generation: 2,
        new,
        known,
        trees: Vec::new(),
    };
    let message = CoordinatorMessage::Update(update);
    coordinator.tx.send(&message).await.unwrap();
}

async fn until(coordinator: &mut Coordinator, task: u32, stage: ReportStage) -> AttemptReport {
    loop {
        let (reported, report) = coordinator.report().await;
        if (reported, report.stage()) == (attempt(task), stage) {
            return report;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_known_goes_on_beside_what_is_new() {
    let bench = Bench::approved();
    let running = start(&bench).await;
    let mut coordinator = bench.accept().await;
    coordinator
        .assign(1, &[(0, Goal::Run, "while :; do sleep 1; done")])
        .await;
    until(&mut coordinator, 0, ReportStage::Started).await;
    let new = Assigned {
        attempt: attempt(1),
        goal: Goal::Run,
        spec: spec("exit 3", false),
        after: None,
    };
    update(&mut coordinator, vec![new], vec![known(0, Goal::Run)]).await;
    let AttemptReport::Ended { outcome, .. } = until(&mut coordinator, 1, ReportStage::Ended).await
    else {
        panic!("an end of another kind");
    };
    assert_eq!(outcome.exit_code, Some(3));
    // It is ended with the grace that was said at first.
    let stop = Goal::Stop {
        reason: common::status::EndReason::Cancelled,
    };
    let goals = vec![known(0, stop), known(1, Goal::Collect)];
    update(&mut coordinator, Vec::new(), goals).await;
    until(&mut coordinator, 0, ReportStage::Ended).await;
    running.stop();
    assert_eq!(running.wait().await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_known_is_asked_for_by_a_new_connection() {
    let bench = Bench::approved();
    let running = start(&bench).await;
    let mut coordinator = bench.accept().await;
    update(&mut coordinator, Vec::new(), vec![known(0, Goal::Run)]).await;
    let mut again = bench.accept().await;
    again.assign(2, &[(0, Goal::Run, "true")]).await;
    until(&mut again, 0, ReportStage::Ended).await;
    running.stop();
    assert_eq!(running.wait().await, Ok(()));
}
