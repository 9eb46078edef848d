//! What is kept of everything: who decided what, what was used, and the proof of it.

use std::{fs, path::Path};

use compute_share_tests::{Org, until};

fn path(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}

#[test]
fn what_was_done_and_used_is_kept_and_proved() {
    let org = Org::start();
    let bob = org.join("bob");
    let _agent = org.agent(&bob, "bob-box");
    let small = ["--no-workdir", "--cpu", "0.5", "--memory", "64MiB"];
    let program = ["--", "sh", "-c", "sleep 0.2; echo kept > /output/file"];
    let run = [&["run"], &small[..], &program].concat();
    org.alice.run(&run).expect_success();

    // Usage: by whom, where, and for programs; all of it once what the job left has come.
    until("the artifacts to come", || {
        let usage = org.alice.json(&["usage", "show"]);
        let rows = usage["rows"].as_array()?.clone();
        let stored = |row: &serde_json::Value| row["billed"]["stored"] == 5;
        rows.iter().any(stored).then_some(())
    });
    let by_member = org.alice.json(&["usage", "show"]);
    let row = |name: &str| {
        let rows = by_member["rows"].as_array().unwrap();
        let found = rows.iter().find(|row| row["name"] == name);
        found.unwrap_or_else(|| panic!("{by_member}")).clone()
    };
    let (alice, bobs) = (row("alice"), row("bob"));
    assert_eq!(alice["billed"]["attempts"], 1);
    assert!(
        alice["billed"]["wall_seconds"].as_f64() > Some(0.1),
        "{alice}"
    );
    assert_eq!(alice["billed"], bobs["lent"]);
    assert_eq!(bobs["billed"]["attempts"], 0);
    let by_machine = org
        .alice
        .json(&["usage", "show", "--by", "machine", "--since", "1d"]);
    assert_eq!(by_machine["rows"][0]["name"], "bob-box");
    assert_eq!(by_machine["rows"][0]["lent"], alice["billed"]);
    // Bob sees what he lent, and not who had it.
    let his = bob.json(&["usage", "show"]);
    assert_eq!(his["rows"].as_array().unwrap().len(), 1);
    assert_eq!(his["rows"][0]["lent"], alice["billed"]);
    let csv = org.alice.run(&["usage", "show", "--csv"]);
    let csv = csv.expect_success();
    let lines: Vec<&str> = csv.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", csv.stdout);
    assert!(lines[0].starts_with("member,id,billed_attempts,"));

    // The log: who approved the machine.
    let log = org.alice.json(&["org", "audit", "--kind", "machine"]);
    let approved = &log[0];
    assert_eq!(approved["event"], "machine_approved", "{log}");
    assert_eq!(approved["subject"], "bob-box");
    assert_eq!(approved["actor"]["name"], "alice");
    let shown = org.alice.run(&["org", "audit", "--since", "1h"]).stdout;
    assert!(
        shown.contains("machine approved") && !shown.contains("attempt"),
        "{shown}"
    );
    let jobs = org
        .alice
        .json(&["org", "audit", "--kind", "job", "--actor", "alice"]);
    assert_eq!(jobs[0]["event"], "job_submitted", "{jobs}");
    bob.run(&["org", "audit"])
        .expect_refusal(3, "permission_denied");

    // The proof, at the coordinator and of a copy.
    org.alice.run(&["org", "audit", "verify"]).expect_success();
    let copy = org.folder().join("lab.jsonl");
    let exported = org.alice.json(&["org", "audit", "export", path(&copy)]);
    let verified = org.alice.json(&["org", "audit", "verify", path(&copy)]);
    assert_eq!(exported["seal"], verified["seal"]);
    let whole = fs::read_to_string(&copy).unwrap();
    assert_eq!(
        exported["entries"].as_u64(),
        Some(whole.lines().count() as u64 - 1)
    );
    let tampered = org.folder().join("tampered.jsonl");
    fs::write(
        &tampered,
        whole.replacen("machine_approved", "machine_rejected", 1),
    )
    .unwrap();
    let line = whole
        .lines()
        .position(|line| line.contains("machine_approved"));
    org.alice
        .run(&["org", "audit", "verify", path(&tampered)])
        .expect_refusal(1, "tampered")
        .names(&format!("line {}", line.unwrap() + 1));
    fs::write(
        &tampered,
        whole.trim_end().rsplit_once('\n').unwrap().0.to_owned() + "\n",
    )
    .unwrap();
    org.alice
        .run(&["org", "audit", "verify", path(&tampered)])
        .expect_refusal(1, "tampered");
}
