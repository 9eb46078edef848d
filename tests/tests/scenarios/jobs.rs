//! How jobs end, and what their submitters are told.

use compute_share_tests::{Org, until};

const SMALL: [&str; 7] = [
    "--no-workdir",
    "--cpu",
    "0.5",
    "--memory",
    "64MiB",
    "--disk",
    "64MiB",
];

fn arguments<'a>(command: &'a str, options: &[&'a str], program: &[&'a str]) -> Vec<&'a str> {
    [&[command], &SMALL[..], options, &["--"], program].concat()
}

#[test]
fn exit_codes_come_through() {
    let org = Org::start();
    let _agent = org.agent(&org.alice, "box");
    let code = |options: &[&str], program: &[&str]| {
        let run = org.alice.run(&arguments("run", options, program));
        (run.code, run.stderr)
    };
    assert_eq!(code(&[], &["true"]).0, Some(0));
    assert_eq!(code(&[], &["sh", "-c", "exit 7"]).0, Some(7));
    assert_eq!(code(&[], &["sh", "-c", "kill -9 $$"]).0, Some(137));
    let (missing, stderr) = code(&[], &["no-such-program"]);
    assert_eq!(missing, Some(127));
    assert!(
        stderr.contains("no-such-program") && stderr.contains("not found"),
        "{stderr}"
    );
    let (limit, stderr) = code(&["--max-runtime", "1s"], &["sleep", "1000"]);
    assert_ne!(limit, Some(0));
    assert!(
        stderr.contains("time_limit") || stderr.contains("time limit"),
        "{stderr}"
    );
}

#[test]
fn too_much_memory_is_told_from_the_counter_where_the_machine_can_limit_it() {
    let org = Org::start();
    let _agent = org.agent(&org.alice, "box");
    let hungry = "head -c 300M /dev/zero | tail -c 300M | wc -c";
    let run = org.alice.run(&arguments("run", &[], &["sh", "-c", hungry]));
    let job = org.alice.json(&["job", "show", "1"]);
    let level = org.alice.json(&["machine", "show", "box"])["report"]["isolation"]["level"].clone();
    if level == "a" || level == "b" {
        assert_eq!(
            job["attempts"][0]["outcome"]["reason"], "out_of_memory",
            "{job}"
        );
        assert_eq!(run.code, Some(137));
    } else {
        // Level C holds each process, and says in the machine's report that it cannot do more.
        assert!(run.stderr.contains("memory"), "{}", run.stderr);
        let missing = org.alice.json(&["machine", "show", "box"])["report"]["isolation"]["missing"]
            .to_string();
        assert!(missing.contains("memory"), "{missing}");
    }
}

#[test]
fn a_cancelled_job_is_gone_with_everything_it_started() {
    let org = Org::start();
    let _agent = org.agent(&org.alice, "box");
    let script = "trap '' TERM; (setsid sleep 98765 &); echo begun; while true; do sleep 0.1; done";
    let submitted = org
        .alice
        .json(&arguments("submit", &[], &["sh", "-c", script]));
    let job = submitted["number"].to_string();
    until("the job to begin", || {
        org.alice
            .run(&["job", "logs", &job])
            .stdout
            .contains("begun")
            .then_some(())
    });
    org.alice
        .run(&["job", "cancel", &job, "--yes"])
        .expect_success();
    until("the job to be cancelled", || {
        (org.alice.job_status(&job)? == "cancelled").then_some(())
    });
    let left = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .any(|process| {
            std::fs::read(process.path().join("cmdline"))
                .is_ok_and(|line| line == b"sleep\098765\0")
        });
    assert!(!left, "a process of the job is still there");
    let shown = org.alice.json(&["job", "show", &job]);
    assert_eq!(shown["attempts"][0]["outcome"]["reason"], "cancelled");
}

#[test]
fn a_waiting_job_says_why_and_starts_when_it_can() {
    let org = Org::start();
    let submitted = org.alice.json(&arguments("submit", &[], &["true"]));
    let job = submitted["number"].to_string();
    let why = org.alice.json(&["job", "why", &job]);
    assert_eq!(why["blockers"][0]["code"], "no_machine", "{why}");
    let _agent = org.agent(&org.alice, "box");
    org.alice.run(&["job", "wait", &job]).expect_success();
}

#[test]
fn a_paused_machine_takes_nothing_new_and_says_so() {
    let org = Org::start();
    let bob = org.join("bob");
    let _agent = org.agent(&bob, "box");
    bob.run(&["pause", "2h"]).expect_success();
    org.wait_for_machine("box", "paused");
    let job = org.alice.json(&arguments("submit", &[], &["true"]))["number"].to_string();
    let why = org.alice.json(&["job", "why", &job]);
    assert_eq!(why["blockers"][0]["code"], "machine_paused", "{why}");
    assert_eq!(why["blockers"][0]["machine_count"], 1);
    bob.run(&["resume"]).expect_success();
    org.alice.run(&["job", "wait", &job]).expect_success();
}

#[test]
fn the_same_key_is_the_same_job() {
    let org = Org::start();
    let key = ["--idempotency-key", "0198b2a0-0000-7000-8000-000000000001"];
    let first = org.alice.json(&arguments("submit", &key, &["true"]));
    let second = org.alice.json(&arguments("submit", &key, &["true"]));
    assert_eq!(first["number"], second["number"]);
    org.alice
        .run(&arguments("submit", &key, &["false"]))
        .expect_refusal(3, "idempotency_conflict");
}

#[test]
fn limits_hold_and_say_where_they_come_from() {
    let org = Org::start();
    let bob = org.join("bob");
    let _agent = org.agent(&org.alice, "box");
    let file = org.folder().join("limits.yaml");
    let text = "organization:\n  limits:\n    max_machines_per_user: 1\n    \
                max_concurrent_jobs_per_user: 1\n    max_job_runtime: 1h\n    max_job_memory: 128\n";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    bob.run(&["org", "limits", "apply", file])
        .expect_refusal(3, "permission_denied");
    org.alice
        .run(&["org", "limits", "apply", file])
        .expect_success();

    bob.run(&["submit", "--no-workdir", "--memory", "1GiB", "--", "true"])
        .expect_refusal(3, "limit_reached")
        .names("max_job_memory");
    bob.run(&arguments("submit", &["--max-runtime", "2h"], &["true"]))
        .expect_refusal(3, "limit_reached")
        .names("max_job_runtime");

    let first = bob.json(&arguments("submit", &[], &["sleep", "1000"]))["number"].to_string();
    until("the first to run", || {
        (bob.job_status(&first)? == "running").then_some(())
    });
    let second = bob.json(&arguments("submit", &[], &["true"]))["number"].to_string();
    let why = bob.json(&["job", "why", &second]);
    assert!(
        why["blockers"]
            .to_string()
            .contains("member_concurrent_limit"),
        "{why}"
    );
    bob.run(&["job", "cancel", &first, "--yes"])
        .expect_success();
    bob.run(&["job", "wait", &second]).expect_success();
}
