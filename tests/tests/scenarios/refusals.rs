//! Bad input: each is a clear error with a code and help, and nothing is lost.

use std::{fs, os::unix::fs::symlink, process::Command};

use compute_share_tests::Org;

#[test]
fn links_and_codes() {
    let org = Org::start();
    let mallory = org.stranger("mallory");
    mallory.run(&["ps"]).expect_refusal(3, "not_signed_in");

    let link = org.invitation_link();
    let parts: Vec<&str> = link.rsplitn(3, '/').collect();
    let wrong_ca = format!("{}/{}/{}", parts[2], "ab".repeat(32), parts[0]);
    mallory
        .run(&["join", &wrong_ca])
        .expect_refusal(3, "wrong_fingerprint");
    let wrong_code = format!("{}/{}/{}", parts[2], parts[1], "AAAAAAAAAAAAAAAAAAAAAAAAAA");
    mallory
        .run(&["join", &wrong_code])
        .expect_refusal(3, "code_invalid");
    mallory
        .run(&["join", "compute-share://half"])
        .expect_refusal(2, "bad_link");
    mallory.run(&["join", &link]).expect_success();
    org.stranger("eve")
        .run(&["join", &link])
        .expect_refusal(3, "code_used");

    // A second computer of somebody who is in; and a sign-in link is not an invitation.
    let link = mallory.json(&["device", "link"])["link"]
        .as_str()
        .unwrap()
        .to_owned();
    let laptop = org.stranger("laptop");
    laptop.run(&["join", &link]).expect_refusal(2, "bad_link");
    laptop.run(&["login", &link]).expect_success();
    assert_eq!(laptop.json(&["whoami"])["handle"], "mallory");

    let short = org.alice.json(&["invite", "create", "--ttl", "1ms"]);
    let short = short[0]["link"].as_str().unwrap();
    org.stranger("eve")
        .run(&["join", short])
        .expect_refusal(3, "code_expired");

    let revoked = org.alice.json(&["invite", "create"]);
    let id = revoked[0]["id"].as_str().unwrap();
    org.alice
        .run(&["invite", "revoke", id, "--yes"])
        .expect_success();
    let revoked = revoked[0]["link"].as_str().unwrap();
    org.stranger("eve")
        .run(&["join", revoked])
        .expect_refusal(3, "code_revoked");
}

#[test]
fn a_machine_that_is_not_approved_gets_nothing() {
    let org = Org::start();
    let bob = org.join("bob");
    bob.run(&["agent"]).expect_refusal(3, "not_registered");
    bob.run(&["register", "--name", "box"]).expect_success();
    let mut agent = bob.agent();
    bob.run(&["machine", "approve", "box"])
        .expect_refusal(3, "permission_denied");
    assert_eq!(
        org.alice.json(&["machine", "show", "box"])["status"],
        "pending"
    );
    org.alice
        .run(&["machine", "reject", "box", "--reason", "too loud", "--yes"])
        .expect_success();
    assert!(!agent.daemon.wait().success());
    assert!(
        agent.daemon.printed().contains("too loud"),
        "{}",
        agent.daemon.printed()
    );
}

#[test]
fn a_removed_machine_and_a_removed_member_are_out_at_once() {
    let org = Org::start();
    let bob = org.join("bob");
    let mut agent = org.agent(&bob, "box");
    org.alice
        .run(&["machine", "remove", "box", "--yes"])
        .expect_success();
    assert!(!agent.daemon.wait().success());
    org.alice
        .run(&["member", "remove", "bob", "--yes"])
        .expect_success();
    let refused = bob.run(&["ps"]);
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
}

#[test]
fn job_files() {
    let org = Org::start();
    let _agent = org.agent(&org.alice, "box");
    let submit = |text: &str| {
        let file = org.alice.here().join("job.yaml");
        fs::write(&file, text).unwrap();
        org.alice
            .run(&["submit", file.to_str().unwrap(), "--no-workdir"])
    };
    submit("command: [true]\nresorces: {cpu: 1}\n")
        .expect_refusal(2, "bad_job_file")
        .names("resources");
    submit("command: [\"true\"]\nresources: {memory: 16 bananas}\n")
        .expect_refusal(2, "bad_job_file")
        .names("16 bananas");
    submit("command: [\"true\"]\nresources: {memory: 900TiB}\n")
        .expect_refusal(3, "never_fits")
        .names("box");
    submit("command: [\"true\"]\nresources: {gpu: rtx-9999:1}\n").expect_refusal(3, "never_fits");
    submit("command: [\"true\"]\ndatasets: [\"nothing:/data\"]\n")
        .expect_refusal(4, "not_found")
        .names("nothing");
    submit("command: [\"true\"]\ndatasets: [\"../x:/data\"]\n").expect_refusal(2, "bad_job_file");
    submit("- just\n- a list\n").expect_refusal(2, "bad_job_file");
    assert_eq!(org.alice.json(&["job", "list"]), serde_json::json!([]));
}

#[test]
fn folders_that_cannot_be_sent() {
    let org = Org::start();
    let upload = |name: &str, make: &dyn Fn(&std::path::Path)| {
        let folder = org.folder().join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("file"), "x").unwrap();
        make(&folder);
        org.alice
            .run(&["dataset", "upload", folder.to_str().unwrap(), "--name", "d"])
    };
    upload("escape", &|folder| {
        symlink("../../../etc/passwd", folder.join("out")).unwrap()
    })
    .expect_refusal(2, "bad_folder")
    .names("out");
    upload("fifo", &|folder| {
        let made = Command::new("mkfifo")
            .arg(folder.join("pipe"))
            .status()
            .unwrap();
        assert!(made.success());
    })
    .expect_refusal(2, "bad_folder")
    .names("pipe");
    org.alice
        .run(&["dataset", "upload", "/no/such/folder", "--name", "d"])
        .expect_refusal(2, "bad_folder");
    org.alice
        .run(&["dataset", "show", "d"])
        .expect_refusal(4, "not_found");
    upload("good", &|_| ()).expect_success();
    org.alice
        .run(&["run", "--no-workdir", "--dataset", "d@2:/d", "--", "true"])
        .expect_refusal(4, "not_found")
        .names("d@2");
}

#[test]
fn the_coordinators_own_store() {
    let mut org = Org::start();
    let second = org.coordinator.command(&["run"]);
    let stderr = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("store_locked"), "{stderr}");
    let again = org
        .coordinator
        .command(&["init", "--org", "x", "--owner", "y"]);
    let stderr = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(stderr.contains("already_initialised"), "{stderr}");
    assert!(org.coordinator.daemon.stop().success());
    org.alice
        .run(&["ps"])
        .expect_refusal(5, "coordinator_unreachable")
        .names(&org.coordinator.address.to_string());
    let check = org.coordinator.command(&["check"]);
    assert!(
        check.status.success(),
        "{}",
        String::from_utf8_lossy(&check.stderr)
    );
}
