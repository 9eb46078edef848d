//! What jobs leave: jobs that read it, versions beside each other, and what comes of it when a machine goes away.

use std::{fs, path::Path};

use compute_share_tests::{Cable, Org, Person, until};
use serde_json::Value;

fn run(person: &Person, more: &[&str], script: &str) -> String {
    let asked = [
        "submit",
        "--no-workdir",
        "--cpu",
        "0.1",
        "--memory",
        "64MiB",
    ];
    let submitted = person.json(&[&asked[..], more, &["--", "sh", "-c", script]].concat());
    let number = submitted["number"].to_string();
    person.run(&["job", "wait", &number]).expect_success();
    number
}

/// Returns what the only attempt left.
fn left(person: &Person, job: &str) -> Value {
    let listed = person.json(&["job", "artifacts", job]);
    listed[0].clone()
}

fn write(folder: &Path, files: &[(&str, &str)]) {
    fs::create_dir_all(folder.join("deep")).unwrap();
    for (path, content) in files {
        fs::write(folder.join(path), content).unwrap();
    }
}

#[test]
fn what_one_job_leaves_the_next_one_reads() {
    let org = Org::start();
    let bob = org.join("bob");
    let _agent = org.agent(&bob, "box");
    let alice = &org.alice;
    let first = run(
        alice,
        &[],
        "mkdir /output/deep; echo model > /output/deep/model",
    );
    let is_stored = || left(alice, &first)["artifacts"].get("stored").map(drop);
    until("the artifacts to be there", is_stored);
    let listed = left(alice, &first);
    assert_eq!(listed["entries"][0]["path"], "deep/model", "{listed}");
    assert_eq!(listed["entries"][0]["bytes"], 6);
    assert!(listed["kept_until"].is_string());

    let mount = format!("job:{first}:/data/prev");
    let script = "cat /data/prev/deep/model; \
                  ! echo x > /data/prev/deep/model; ! touch /data/prev/new; \
                  cp /data/prev/deep/model /output/next";
    let second = run(alice, &["--dataset", &mount], script);
    let log = alice.run(&["job", "logs", &second]).expect_success().stdout;
    assert!(log.starts_with("model\n"), "{log}");
    let shown = alice.run(&["job", "show", &second]).expect_success().stdout;
    assert!(
        shown.contains(&format!("job:{first} at /data/prev")),
        "{shown}"
    );

    // Of an array a folder for each task.
    let script = "echo $COMPUTE_SHARE_TASK_INDEX > /output/index";
    let array = run(alice, &["--array", "0-2"], script);
    until("all of them to be there", || {
        let listed = alice.json(&["job", "artifacts", &array]);
        let all = listed.as_array()?.iter();
        let stored = all.filter(|one| one["artifacts"].get("stored").is_some());
        (stored.count() == 3).then_some(())
    });
    let [all, one] = [format!("job:{array}:/all"), format!("job:{array}.1:/one")];
    let mounts = ["--dataset", &all, "--dataset", &one];
    let third = run(alice, &mounts, "cat /all/0/index /all/2/index /one/index");
    let log = alice.run(&["job", "logs", &third]).expect_success().stdout;
    assert_eq!(log, "0\n2\n1\n");

    // Nobody else gets at it in that way, and nobody before it is there.
    bob.run(&["submit", "--no-workdir", "--dataset", &mount, "--", "true"])
        .expect_refusal(4, "not_found");
    let waits = alice.json(&["submit", "--no-workdir", "--", "sleep", "600"]);
    let waits = waits["number"].to_string();
    let mount = format!("job:{waits}:/data");
    alice
        .run(&["submit", "--no-workdir", "--dataset", &mount, "--", "true"])
        .expect_refusal(3, "wrong_state")
        .names(&format!("compute-share job wait {waits}"));
    alice
        .run(&["submit", "--no-workdir", "--dataset", "job:1", "--", "true"])
        .expect_refusal(2, "bad_request");
    alice
        .run(&["job", "artifacts", &first, "--attempt", "7"])
        .expect_refusal(4, "not_found");
}

#[test]
fn versions_are_compared_deleted_and_brought_back() {
    let org = Org::start();
    let alice = &org.alice;
    let folder = org.folder().join("digits");
    write(&folder, &[("same", "same"), ("deep/gone", "gone")]);
    let path = folder.to_str().unwrap();
    let upload = || alice.json(&["dataset", "upload", path, "--name", "digits"]);
    assert_eq!(upload()["unchanged"], false);
    assert_eq!(upload()["unchanged"], true);
    alice
        .run(&["dataset", "verify", "digits", "--folder", path])
        .expect_success();
    fs::remove_file(folder.join("deep/gone")).unwrap();
    write(&folder, &[("same", "sAme"), ("new", "new")]);
    alice
        .run(&["dataset", "verify", "digits", "--folder", path])
        .expect_refusal(1, "checksum_mismatch")
        .names("deep/gone is missing, same has other content");
    assert_eq!(upload()["versions"].as_array().unwrap().len(), 2);
    let different = alice.json(&["dataset", "diff", "digits@1", "digits@2"]);
    let said = |one: &Value| format!("{} {}", one["change"], one["path"]);
    let said: Vec<String> = different["paths"]
        .as_array()
        .unwrap()
        .iter()
        .map(said)
        .collect();
    assert_eq!(
        said,
        [
            "\"removed\" \"deep/gone\"",
            "\"added\" \"new\"",
            "\"changed\" \"same\""
        ]
    );
    let whole = alice
        .run(&["dataset", "verify", "digits@1"])
        .expect_success();
    assert!(
        whole.stdout.contains("all of it is what it was"),
        "{}",
        whole.stdout
    );

    alice
        .run(&["--yes", "dataset", "delete", "digits"])
        .expect_success();
    alice
        .run(&["dataset", "show", "digits"])
        .expect_refusal(4, "not_found")
        .names("dataset restore digits");
    let deleted = alice.json(&["dataset", "list", "--deleted"]);
    assert_eq!(deleted[0]["versions"], 2, "{deleted}");
    alice
        .run(&["dataset", "restore", "digits"])
        .expect_success();
    let copy = org.folder().join("copy");
    let to = copy.to_str().unwrap();
    alice
        .run(&["dataset", "download", "digits@1", "--to", to])
        .expect_success();
    assert_eq!(fs::read_to_string(copy.join("deep/gone")).unwrap(), "gone");
}

#[test]
fn a_machine_that_is_killed_and_cut_off_while_it_sends_goes_on_where_it_was() {
    let org = Org::start();
    let bob = org.join("bob");
    let cable = Cable::to(org.coordinator.address);
    let mut agent = org.agent_behind(&cable, &bob, "box");
    let alice = &org.alice;
    // Does not shrink on its way.
    let script = "head -c 200000000 /dev/urandom > /output/noise; sha256sum < /output/noise";
    let job = run(alice, &["--disk", "1GiB"], script);
    let state = |wanted: &str| {
        let left = left(alice, &job);
        let state = &left["artifacts"];
        let is = state == wanted || state.get(wanted).is_some();
        is.then_some(())
    };
    state("pending").expect("so much does not arrive at once");
    agent.daemon.kill();
    state("pending").expect("it was killed while it sent");
    cable.cut();
    agent.restart();
    until("the coordinator to miss the machine", || {
        let shown = alice.json(&["machine", "show", "box"]);
        (shown["status"] == "offline").then_some(())
    });
    state("pending").expect("nothing is given up");
    cable.mend();
    until("the artifacts to be there", || state("stored"));
    let to = org.folder().join("pulled");
    alice
        .run(&["job", "pull", &job, "--to", to.to_str().unwrap()])
        .expect_success();
    let sum = std::process::Command::new("sha256sum")
        .stdin(fs::File::open(to.join("noise")).unwrap())
        .output()
        .unwrap();
    let log = alice.run(&["job", "logs", &job]).expect_success().stdout;
    assert_eq!(String::from_utf8_lossy(&sum.stdout), log);
}
