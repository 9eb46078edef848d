//! Lists that are longer than one answer of the coordinator.

use std::collections::BTreeSet;

use compute_share_tests::Org;

const COMMANDS: usize = 21;
/// Of each command; together they are more than the thousand rows that an answer has at most.
const AT_ONCE: &str = "50";

#[test]
fn a_list_is_whole_or_says_that_it_is_not() {
    let org = Org::start();
    let alice = &org.alice;
    let id = |row: &serde_json::Value| row["id"].as_str().unwrap().to_owned();
    let mut made: Vec<String> = Vec::new();
    for _ in 0..COMMANDS {
        let batch = alice.json(&["invite", "create", "--count", AT_ONCE]);
        made.extend(batch.as_array().unwrap().iter().map(id));
    }
    assert_eq!(made.len(), 1_050);

    let list = alice.json(&["invite", "list"]);
    let listed: Vec<String> = list.as_array().unwrap().iter().map(id).collect();
    let every: BTreeSet<&String> = listed.iter().collect();
    assert_eq!(every.len(), listed.len(), "none is listed twice");
    assert!(made.iter().all(|one| every.contains(one)));
    let quiet = alice.run(&["invite", "list", "-q"]).expect_success();
    let quiet: Vec<&str> = quiet.stdout.lines().collect();
    assert_eq!(quiet, listed);
    let table = alice.run(&["invite", "list"]).expect_success();
    assert_eq!(table.stdout.lines().count(), listed.len() + 1);
    // Newest first: the oldest is beyond the first answer, and can be found and revoked.
    let oldest = listed.last().unwrap();
    assert!(made[..50].contains(oldest));
    alice
        .run(&["invite", "revoke", oldest, "--yes"])
        .expect_success();
    let list = alice.json(&["invite", "list"]);
    let last = list.as_array().unwrap().last().unwrap();
    assert_eq!((&id(last), &last["status"]), (oldest, &"revoked".into()));

    for _ in 0..3 {
        let submit = ["submit", "--no-workdir", "--", "true"];
        alice.run(&submit).expect_success();
    }
    let list = |arguments: &[&str]| {
        let list = [&["job", "list"], arguments].concat();
        let seen = alice.run(&list).expect_success();
        let numbers = alice.run(&[&list[..], &["-q"]].concat()).stdout;
        (numbers.replace('\n', " "), seen.stderr)
    };
    let (numbers, note) = list(&["--limit", "2"]);
    assert_eq!(numbers.trim(), "3 2");
    assert!(note.contains("--before 2"), "{note}");
    let (numbers, note) = list(&["--limit", "2", "--before", "2"]);
    assert_eq!((numbers.trim(), note.trim()), ("1", ""));
}
