//! An org's life: settings and switches, removal in mid-job, a way back, another owner, the end.

use compute_share_tests::{Org, Person, until};

#[test]
fn an_orgs_life() {
    let org = Org::start_with("who_may_create_orgs = \"users\"");
    let (bob, carol) = (org.join("bob"), org.join("carol"));
    let alice = &org.alice;

    bob.run(&["invite", "create"])
        .expect_refusal(3, "permission_denied");
    bob.run(&["org", "set", "members_may_invite=on"])
        .expect_refusal(3, "permission_denied");
    alice
        .run(&["org", "set", "members_may_fly=on"])
        .expect_refusal(2, "bad_setting");
    let words = [
        "org",
        "set",
        "members_may_invite=on",
        "display_name=The Lab",
    ];
    alice.run(&words).expect_success();
    assert_eq!(bob.json(&["org", "settings"])["display_name"], "The Lab");
    the_logo(alice, &bob);
    bob.run(&["invite", "create"]).expect_success();
    alice
        .run(&["org", "set", "members_may_invite=off"])
        .expect_success();
    bob.run(&["invite", "create"])
        .expect_refusal(3, "permission_denied");

    // Bob is removed while his job runs on alice's machine.
    let _agent = org.agent(alice, "box");
    let submitted = bob.json(&["submit", "--", "sleep", "600"]);
    let number = submitted["number"].to_string();
    until("the job to run", || {
        (bob.job_status(&number).as_deref() == Some("running")).then_some(())
    });
    let shown = alice.json(&["member", "remove", "bob", "--dry-run"]);
    assert_eq!(
        (&shown["job_count"], &shown["running_tasks"]),
        (&1.into(), &1.into())
    );
    assert_eq!(bob.job_status(&number).as_deref(), Some("running"));
    alice
        .run(&["member", "remove", "bob", "--yes"])
        .expect_success();
    bob.run(&["ps"]).expect_refusal(3, "certificate_revoked");
    until("the job to end", || {
        (alice.job_status(&number).as_deref() == Some("cancelled")).then_some(())
    });
    // An admin's invitation and his own computer bring him back, and what he did is the org's.
    bob.run(&["join", &org.invitation_link()]).expect_success();
    assert_eq!(bob.json(&["whoami"])["handle"], "bob");
    bob.run(&["job", "show", &number])
        .expect_refusal(4, "not_found");

    alice
        .run(&["org", "leave", "--yes"])
        .expect_refusal(3, "owner_stays");
    alice
        .run(&["org", "transfer", "carol", "--confirm", "lab"])
        .expect_refusal(3, "not_an_admin");
    alice
        .run(&["member", "set-role", "carol", "admin"])
        .expect_success();
    alice
        .run(&["org", "transfer", "carol", "--confirm", "Lab"])
        .expect_refusal(3, "wrong_typed_name");
    alice
        .run(&["org", "transfer", "carol", "--confirm", "lab"])
        .expect_success();

    // Leaving keeps him signed in; coming back is for the new owner to decide.
    bob.run(&["org", "leave", "--yes"]).expect_success();
    bob.run(&["ps"]).expect_refusal(4, "not_found");
    bob.run(&["org", "rejoin", "lab"]).expect_success();
    carol
        .run(&["approval", "approve", "rejoin:bob"])
        .expect_success();
    bob.run(&["ps"]).expect_success();

    alice
        .run(&["org", "delete", "--confirm", "lab"])
        .expect_refusal(3, "permission_denied");
    carol
        .run(&["org", "delete", "--confirm", "labs"])
        .expect_refusal(3, "wrong_typed_name");
    let shown = carol.json(&["org", "delete", "--dry-run"]);
    assert_eq!(
        (&shown["members"], &shown["machines"]),
        (&3.into(), &1.into())
    );
    carol
        .run(&["org", "delete", "--confirm", "lab"])
        .expect_success();
    for person in [alice, &bob, &carol] {
        person.run(&["ps"]).expect_refusal(4, "not_found");
    }

    // The name is free again, and where users may make orgs, bob takes it.
    let made = bob.json(&["org", "create", "lab"]);
    assert_eq!(
        (&made["name"], &made["owner"]),
        (&"lab".into(), &"bob".into())
    );
    carol
        .run(&["org", "create", "lab"])
        .expect_refusal(3, "name_taken");
    bob.run(&["org", "use", "lab"]).expect_success();
    assert_eq!(bob.json(&["org", "show"])["id"], made["id"]);
}

fn the_logo(alice: &Person, bob: &Person) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        path.to_str().expect("plain text").to_owned()
    };
    let picture = b"\x89PNG\r\n\x1a\n and the rest";
    let png = file("lab.png", picture);
    bob.run(&["org", "logo", "set", &png])
        .expect_refusal(3, "permission_denied");
    for wrong in [file("lab.svg", b"<svg/>"), file("large", &vec![0; 300_000])] {
        alice
            .run(&["org", "logo", "set", &wrong])
            .expect_refusal(2, "bad_setting");
    }
    alice.run(&["org", "logo", "set", &png]).expect_success();
    assert_eq!(bob.json(&["org", "show"])["logo"]["type"], "image/png");
    let copy = folder.path().join("copy.png");
    let copy = copy.to_str().expect("plain text");
    bob.run(&["org", "logo", "get", copy]).expect_success();
    assert_eq!(std::fs::read(copy).expect("the copy"), picture);
    bob.run(&["org", "logo", "get", copy])
        .expect_refusal(1, "io_error");
}
