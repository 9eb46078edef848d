//! An org's life: settings and switches, removal in mid-job, a way back, another owner, the end.

use std::path::Path;

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

#[test]
fn a_deleted_orgs_files_go_even_if_the_coordinator_is_killed_meanwhile() {
    let mut org = Org::start_with("who_may_create_orgs = \"users\"");
    let alice = org.alice.clone();
    let blobs = org.coordinator.data().join("blobs");
    let empty = bytes_in(&blobs);
    let data = org.folder().join("data");
    std::fs::create_dir(&data).expect("a folder");
    for round in 0..6_u8 {
        // Of another content each time, in many chunks.
        std::fs::write(data.join("noise"), noise(round, 6 << 20)).expect("a file");
        let name = format!("short-lived-{round}");
        alice.run(&["org", "create", &name]).expect_success();
        let folder = data.to_str().expect("plain text");
        let upload = [
            "dataset", "upload", folder, "--name", "noise", "--org", &name,
        ];
        alice.run(&upload).expect_success();
        assert!(bytes_in(&blobs) > empty + (6 << 20));
        let delete = ["org", "delete", "--confirm", &name, "--org", &name];
        alice.run(&delete).expect_success();
        org.coordinator.daemon.kill();
        let checked = org.coordinator.command(&["check"]);
        assert!(checked.status.success(), "{checked:?}");
        org.coordinator.restart();
        until("the coordinator to answer", || {
            alice.run(&["org", "list"]).succeeded()
        });
        alice
            .run(&["org", "show", "--org", &name])
            .expect_refusal(4, "not_found");
    }
    until("the files to go", || {
        (bytes_in(&blobs) == empty).then_some(())
    });
}

/// Two datasets that share most of what they hold: one goes and comes back while the coordinator is killed, the other
/// is whole throughout.
#[test]
fn a_dataset_is_whole_though_one_like_it_is_deleted_and_the_coordinator_killed() {
    let mut org = Org::start();
    let alice = org.alice.clone();
    let blobs = org.coordinator.data().join("blobs");
    let root = org.folder().to_owned();
    let folder = |name: &str| {
        let folder = root.join(name);
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::write(folder.join("shared"), noise(1, 4 << 20)).expect("a file");
        folder
    };
    let [kept, gone] = ["kept", "gone"].map(folder);
    let upload = |name: &str| {
        let folder = root.join(name).display().to_string();
        alice
            .run(&["dataset", "upload", &folder, "--name", name])
            .expect_success();
    };
    std::fs::write(kept.join("own"), "what only this one has").expect("a file");
    upload("kept");
    // What the org's packs hold; the index beside them does not shrink.
    let packs = || {
        let orgs = std::fs::read_dir(&blobs).expect("a folder").flatten();
        orgs.map(|org| bytes_in(&org.path().join("packs")))
            .sum::<u64>()
    };
    let alone = packs();
    for round in 0..5_u8 {
        std::fs::write(gone.join("own"), noise(round + 2, 1 << 20)).expect("a file");
        upload("gone");
        // Deleted and sent once more, at once.
        for again in [true, false] {
            alice
                .run(&["--yes", "dataset", "delete", "--now", "gone"])
                .expect_success();
            if again {
                upload("gone");
            }
        }
        org.coordinator.daemon.kill();
        org.coordinator.restart();
        until("the coordinator to answer", || {
            alice.run(&["org", "list"]).succeeded()
        });
        alice
            .run(&["dataset", "show", "gone"])
            .expect_refusal(4, "not_found");
        let copy = root.join(format!("copy-{round}"));
        let to = copy.display().to_string();
        alice
            .run(&["dataset", "download", "kept", "--to", &to])
            .expect_success();
        for file in ["shared", "own"] {
            let [was, is] = [&kept, &copy].map(|folder| std::fs::read(folder.join(file)));
            assert!(was.expect("a file") == is.expect("a file"), "{file}");
        }
    }
    // Packs are written anew once a quarter of them is dead.
    until("the other's files to go", || {
        (packs() <= alone + alone / 3).then_some(())
    });
}

/// Returns bytes that do not repeat themselves (xorshift).
fn noise(seed: u8, bytes: usize) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..bytes / 8).flat_map(next).collect()
}

/// Returns how much lies in a folder, in files of any depth.
fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let sizes = entries.flatten().map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => bytes_in(&entry.path()),
        _ => entry.metadata().map_or(0, |metadata| metadata.len()),
    });
    sizes.sum()
}

fn the_logo(alice: &Person, bob: &Person) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        path.to_str().expect("plain text").to_owned()
    };
    let picture = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01 and the rest\0\0\0\0IEND\xae\x42\x60\x82";
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
