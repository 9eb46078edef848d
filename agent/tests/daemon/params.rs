//! Tasks with a line of parameters each: the line is put into the command, and one that is of no use is told.

use std::{collections::BTreeMap, sync::Arc};

use agent_core::params::{LINES, OFFSETS};
use common::{
    status::EndReason,
    wire::agent::{Assigned, Assignment, AttemptReport, AttemptSpec, CoordinatorMessage, Goal},
};
use tokio::sync::mpsc;

use crate::{
    coordinator::{Bench, attempt, soon, text_of},
    lazily::{serve, tree},
    spec::spec,
    start,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_runs_what_its_line_makes_of_the_command_or_says_what_is_wrong() {
    let bench = Bench::approved();
    let running = start(&bench).await;
    let mut coordinator = bench.accept().await;
    let lines: &[u8] = b"{\"word\": \"a {word}\"}\nword=b\n";
    let offsets: Vec<u8> = [0_u64, 21, 28]
        .iter()
        .flat_map(|at| at.to_le_bytes())
        .collect();
    let (depot, manifest) = tree(&[(LINES, lines), (OFFSETS, &offsets)]);
    let (pieces, mut arrived) = mpsc::unbounded_channel();
    let connection = coordinator.connection.clone();
    tokio::spawn(serve(
        connection,
        Arc::clone(&depot),
        manifest.clone(),
        pieces,
    ));
    let attempts = (0..3).map(|task| Assigned {
        attempt: attempt(task),
        goal: Goal::Run,
        spec: AttemptSpec {
            params: Some(manifest.id()),
            ..spec("echo '{word}' $COMPUTE_SHARE_PARAMS", true)
        },
        after: None,
    });
    let assignment = CoordinatorMessage::Assignment(Assignment {
        generation: 1,
        attempts: attempts.collect(),
        trees: Vec::new(),
    });
    coordinator.tx.send(&assignment).await.unwrap();
    let mut ended = BTreeMap::new();
    while ended.len() < 3 {
        if let (id, AttemptReport::Ended { outcome, .. }) = coordinator.report().await {
            ended.insert(id.task, outcome);
        }
    }
    assert_eq!(ended[&0].reason, EndReason::Exited);
    let mut log = Vec::new();
    while (log.len() as u64) < ended[&0].log_bytes {
        log.extend(soon("a piece of log", arrived.recv()).await.unwrap());
    }
    assert_eq!(text_of(&log), "a {word} {\"word\": \"a {word}\"}\n");
    for (task, why) in [
        (1, "line 2 is not JSON: expected value (column 1)"),
        (2, "line 3 is not there"),
    ] {
        assert_eq!(ended[&task].reason, EndReason::PrepareFailed);
        let expect = format!("the task's parameters cannot be used: {why}");
        assert_eq!(ended[&task].detail.as_deref(), Some(expect.as_str()));
    }
    running.stop();
    assert_eq!(running.wait().await, Ok(()));
}
