//! Tasks that are tried again by themselves, after a while.

use compute_share_tests::{Org, until};

#[test]
fn a_task_that_fails_is_tried_again_after_its_wait() {
    let mut org = Org::start();
    let _agent = org.agent(&org.alice, "box");
    let job = |command, backoff, program| {
        let flags = ["--no-workdir", "--memory", "64MiB", "--retry-on", "exited"];
        let wait = ["--retry-backoff", backoff, "--", "sh", "-c", program];
        [&[command], &flags[..], &wait].concat()
    };
    let second = "test $COMPUTE_SHARE_ATTEMPT = 2";
    let run = org.alice.run(&job("run", "1s", second));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let shown = org.alice.json(&["job", "show", "1"]);
    let (first, second) = (&shown["attempts"][0], &shown["attempts"][1]);
    assert_eq!(first["outcome"]["exit_code"], 1);
    assert_eq!(second["outcome"]["exit_code"], 0);
    assert!(second["placed_at"].as_str() > first["ended_at"].as_str());

    // One that waits for longer says so, also after a restart of the coordinator.
    org.alice.json(&job("submit", "10m", "exit 3"));
    let moment = || {
        let shown = org.alice.json(&["job", "show", "2"]);
        let delayed = &shown["delayed"][0];
        (delayed["after"] == "exited").then(|| delayed["until"].as_str().unwrap().to_owned())
    };
    let before = until("the task to wait for its moment", moment);
    org.coordinator.restart();
    let after = until("the coordinator to be back", || {
        let shown = org.alice.try_json(&["job", "show", "2"])?;
        Some(shown["delayed"][0]["until"].as_str()?.to_owned())
    });
    assert_eq!(after, before);
    org.wait_for_machine("box", "available");
    let why = org.alice.json(&["job", "why", "2"]);
    assert_eq!(why["blockers"][0]["code"], "backing_off", "{why}");
    let text = org.alice.run(&["job", "show", "2"]).expect_success();
    assert!(text.stdout.contains("tried again"), "{}", text.stdout);
    // No work for the machine yet, and it is told so.
    let idle = org.alice.json(&["machine", "why", "box"]);
    assert_eq!(
        (&idle["waiting"], &idle["not_ready"]),
        (&0.into(), &1.into())
    );
    assert_eq!(idle["lately"]["tasks"], 3, "{idle}");
    let text = org.alice.run(&["machine", "why", "box"]).expect_success();
    assert!(
        text.stdout.contains("Nothing waits in the org (and 1 more"),
        "{}",
        text.stdout
    );
    org.alice
        .run(&["job", "cancel", "2", "--yes"])
        .expect_success();
    assert_eq!(org.alice.job_status("2").as_deref(), Some("cancelled"));
}
