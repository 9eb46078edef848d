//! Coming in and being let: invitations, approvals, and the guard against guessing, with real daemons.

use std::{fs, os::unix::fs::PermissionsExt};

use compute_share_tests::{Graphics, Org, until};

#[test]
fn an_account_in_two_orgs_a_batch_and_wrong_codes_over_a_restart() {
    let mut org = Org::start();
    let bob = org.join("bob");
    org.coordinator.daemon.stop();
    let added = org
        .coordinator
        .command(&["add-org", "--org", "shop", "--owner", "alice"]);
    assert!(added.status.success(), "{added:?}");
    org.coordinator.restart();
    let shop = until("the coordinator to be back", || {
        org.alice
            .try_json(&["--org", "shop", "invite", "create", "--for", "bob"])
    });
    assert!(
        shop[0].get("link").is_none(),
        "a user needs no link: {shop}"
    );

    // Bob sees it, and takes it with the account that he has.
    assert_eq!(bob.json(&["whoami"])["pending_invitations"], 1);
    assert_eq!(
        bob.json(&["invite", "list", "--mine"])[0]["org_name"],
        "shop"
    );
    let user = bob.json(&["whoami"])["user"].clone();
    bob.run(&["invite", "accept", "shop"]).expect_success();
    let who = bob.json(&["whoami"]);
    assert_eq!(
        (who["user"].clone(), who["orgs"].as_array().unwrap().len()),
        (user, 2)
    );
    let list = org.alice.json(&["--org", "shop", "invite", "list"]);
    assert_eq!(
        (&list[0]["status"], &list[0]["guests"][0]),
        (&"accepted".into(), &"bob".into())
    );
    bob.run(&["invite", "accept", "shop"])
        .expect_refusal(4, "not_found");

    by_mail(&org);

    // A batch goes to a file that nobody else reads, and never over another.
    let file = org.alice.here().join("class.txt");
    let to_file = [
        "invite",
        "create",
        "--count",
        "50",
        "--to-file",
        "class.txt",
    ];
    org.alice.run(&to_file).expect_success();
    let links = fs::read_to_string(&file).unwrap();
    assert_eq!(links.lines().count(), 50);
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let before = org
        .alice
        .json(&["invite", "list"])
        .as_array()
        .unwrap()
        .len();
    org.alice.run(&to_file).expect_refusal(1, "io_error");
    let after = org
        .alice
        .json(&["invite", "list"])
        .as_array()
        .unwrap()
        .len();
    assert_eq!(before, after, "nothing was made in vain");

    // Guessing is stopped, over a restart; a good link lets in all the same.
    let link = links.lines().next().unwrap();
    let parts: Vec<&str> = link.split('/').collect();
    let eve = org.stranger("eve");
    let guess = [
        "join",
        "0000-0000-0000",
        "--coordinator",
        parts[2],
        "--ca",
        parts[4],
    ];
    until("guessing to be stopped", || {
        eve.run(&guess)
            .stderr
            .contains("too_many_tries")
            .then_some(())
    });
    org.coordinator.daemon.kill();
    org.coordinator.restart();
    until("the coordinator to be back", || {
        org.alice.try_json(&["whoami"])
    });
    eve.run(&guess).expect_refusal(3, "too_many_tries");
    eve.run(&["join", link]).expect_success();
}

/// One invitation for an address is taken by somebody new, another turned down.
fn by_mail(org: &Org) {
    let invite = |address: &str| org.alice.json(&["invite", "create", "--for", address])[0].clone();
    let (taken, declined) = (invite("carol@lab.example"), invite("dora@Lab.Example"));
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let (taken, declined) = (text(&taken["link"]), text(&declined["link"]));

    let carol = org.stranger("carol");
    let shown = carol.json(&["invite", "show", &taken]);
    assert_eq!(
        (&shown["org_name"], &shown["status"], &shown["created_by"]),
        (&"lab".into(), &"pending".into(), &"alice".into())
    );
    carol
        .run(&["join", &taken, "--handle", "caroline"])
        .expect_success();
    assert_eq!(carol.json(&["whoami"])["email"], serde_json::Value::Null);

    let dora = org.stranger("dora");
    dora.run(&["invite", "decline", &declined])
        .expect_refusal(2, "confirmation_needed");
    let answer = dora.json(&["invite", "decline", &declined, "--yes"]);
    assert_eq!(answer["org_name"], "lab");
    dora.run(&["join", &declined])
        .expect_refusal(3, "code_revoked");
    carol
        .run(&["invite", "decline", &taken, "--yes"])
        .expect_refusal(3, "code_used");

    let list = org.alice.json(&["invite", "list"]);
    let told = |invitee: &str| {
        let mut rows = list.as_array().unwrap().iter();
        let row = rows.find(|row| row["invitee"] == invitee);
        row.unwrap()["status"].clone()
    };
    assert_eq!(
        (told("carol@lab.example"), told("dora@lab.example")),
        ("accepted".into(), "declined".into())
    );
    let bad = org.alice.run(&["invite", "create", "--for", "dora@lab"]);
    assert!(
        bad.stderr.contains("cannot be the domain of an address"),
        "{}",
        bad.stderr
    );
}

#[test]
fn a_machine_is_approved_by_a_rule_and_a_job_above_the_threshold_by_an_admin() {
    let org = Org::start();
    let rule = [
        "org",
        "approvals",
        "rule",
        "add",
        "--role",
        "admin",
        "--address",
        "127.0.0.0/8",
    ];
    org.alice
        .run(&[&rule[..], &["--expires", "1h"]].concat())
        .expect_success();
    let bob = org.join("bob");
    bob.run(&["register", "--name", "bob-box"]).expect_success();
    assert_eq!(
        org.alice.json(&["approval", "list"])[0]["subject"],
        "machine:bob-box"
    );
    bob.run(&["approval", "approve", "machine:bob-box"])
        .expect_refusal(3, "permission_denied");

    let mut alice = org.alice.clone();
    let _graphics = Graphics::of(&mut alice);
    alice.run(&["register", "--name", "box"]).expect_success();
    assert_eq!(
        org.alice.json(&["machine", "show", "box"])["status"],
        "offline"
    );
    let _agent = alice.agent();
    org.wait_for_machine("box", "available");
    let decided = org.alice.json(&["approval", "show", "machine:box"]);
    let by = decided["decision"]["by"].as_str().unwrap();
    assert_eq!(by, "rule 1, admin or higher, from 127.0.0.0/8");

    org.alice
        .run(&["org", "approvals", "set", "gpu_hours_over=10"])
        .expect_success();
    let submit = [
        "submit",
        "--gpu",
        "1",
        "--max-runtime",
        "11h",
        "--memory",
        "64MiB",
        "--no-workdir",
        "--",
        "true",
    ];
    let submitted = bob.json(&submit);
    assert_eq!(submitted["status"], "awaiting_approval");
    let why = bob.json(&["job", "why", "1"]);
    assert_eq!(why["blockers"][0]["code"], "awaits_approval");
    bob.run(&["approval", "approve", "job:1"])
        .expect_refusal(3, "permission_denied");
    assert_eq!(bob.job_status("1").as_deref(), Some("awaiting_approval"));
    org.alice
        .run(&["approval", "approve", "job:1", "--reason", "go"])
        .expect_success();
    until("the job to run", || {
        (bob.job_status("1").as_deref() == Some("succeeded")).then_some(())
    });
    let job = bob.json(&["job", "show", "1"]);
    assert_eq!(job["approval"]["decision"]["by"], "alice");

    bob.json(&submit);
    org.alice
        .run(&["approval", "reject", "job:2", "--reason", "not now"])
        .expect_success();
    assert_eq!(bob.job_status("2").as_deref(), Some("cancelled"));
}
