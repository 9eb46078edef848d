//! Short tasks that wait behind running ones of their array, and daemons that are killed meanwhile.

use compute_share_tests::{Org, until};

const TASKS: u64 = 40;

#[test]
fn every_short_task_ends_once_whoever_is_killed_on_the_way() {
    let mut org = Org::start();
    let bob = org.join("bob");
    let mut agent = org.agent(&bob, "box");
    let (array, program) = (
        format!("0-{}%1", TASKS - 1),
        "sleep 0.05; echo task-$COMPUTE_SHARE_TASK_INDEX-try-$COMPUTE_SHARE_ATTEMPT.",
    );
    let job = ["submit", "--no-workdir", "--memory", "64MiB", "--array"];
    let program = [array.as_str(), "--", "sh", "-c", program];
    org.alice.json(&[&job[..], &program].concat());
    let tasks = |state: &str| {
        let shown = org.alice.try_json(&["job", "show", "1"])?;
        shown["summary"]["tasks"][state].as_u64()
    };
    // What waits behind the one that runs is queued, and says so.
    let why = until("tasks to wait behind another", || {
        let why = org.alice.json(&["job", "why", "1"]);
        let blockers = why["blockers"].as_array()?.clone();
        blockers
            .into_iter()
            .find(|blocker| blocker["code"] == "waits_behind")
    });
    assert!(why["text"].as_str().unwrap().contains("on box"), "{why}");
    let shown = org.alice.json(&["job", "show", "1"]);
    let counts = &shown["summary"]["tasks"];
    let known = ["queued", "running", "succeeded"].map(|state| counts[state].as_u64().unwrap());
    assert_eq!(known.iter().sum::<u64>(), TASKS, "{counts}");
    assert!(known[1] <= 1, "{counts}");

    until("some tasks to end", || {
        tasks("succeeded").filter(|done| *done > 5)
    });
    org.coordinator.daemon.kill();
    org.coordinator.restart();
    let before = until("the coordinator to be back", || tasks("succeeded"));
    until("more tasks to end", || {
        tasks("succeeded").filter(|done| *done > before + 5)
    });
    agent.daemon.kill();
    agent.restart();
    org.alice.run(&["job", "wait", "1"]).expect_success();
    let logs = org.alice.run(&["job", "logs", "1"]).expect_success().stdout;
    let shown = org.alice.json(&["job", "show", "1"]);
    assert_eq!(shown["summary"]["tasks"]["succeeded"], TASKS, "{shown}");
    let attempts = shown["attempts"].as_array().unwrap();
    for task in 0..TASKS {
        let line = format!("task-{task}-try-");
        assert_eq!(logs.matches(&line).count(), 1, "{line} in {logs}");
        // Killed between the word to begin and the beginning, an agent loses a try, and no more.
        let tries = attempts.iter().filter(|one| one["task"] == task).count();
        assert!((1..=2).contains(&tries), "task {task}: {shown}");
    }
}
