//! A project with members of different access, a secret that its jobs use and nobody sees, and data that goes.

use std::{fs, path::Path};

use compute_share_tests::{Org, Person, until};

/// What nobody is to find anywhere.
const TOKEN: &str = "hf_0123456789abcdefXYZ";

/// Longer files, the machine's spare disks, are not looked through.
const LARGEST: u64 = 64 << 20;

/// Returns the arguments of a small job, with more of them.
fn job<'a>(more: &[&'a str], script: &'a str) -> Vec<&'a str> {
    let small = [
        "submit",
        "--no-workdir",
        "--cpu",
        "0.1",
        "--memory",
        "32MiB",
    ];
    let command = ["--", "sh", "-c", script];
    [&small[..], more, &command[..]].concat()
}

fn submit(person: &Person, more: &[&str], script: &str) -> String {
    person.json(&job(more, script))["number"].to_string()
}

#[test]
fn a_project_lets_its_members_do_what_they_may_and_its_secret_is_seen_by_nobody() {
    let org = Org::start();
    let _agent = org.agent(&org.alice, "box");
    let [bob, carol, dave, eve] = ["bob", "carol", "dave", "eve"].map(|handle| org.join(handle));
    bob.run(&["project", "create", "vision"]).expect_success();
    for (access, to) in [("view", "carol"), ("contribute", "dave")] {
        bob.run(&["project", "grant", "vision", access, to])
            .expect_success();
    }
    let vision = ["--project", "vision"];
    carol
        .run(&job(&vision, "true"))
        .expect_refusal(3, "permission_denied")
        .names("it takes contribute");
    eve.run(&job(&vision, "true"))
        .expect_refusal(4, "not_found");
    eve.run(&["project", "show", "vision"])
        .expect_refusal(4, "not_found");
    assert_eq!(eve.json(&["project", "list"]).as_array().unwrap().len(), 0);

    org.alice
        .run_told(&["secret", "set", "HF_TOKEN"], &format!("{TOKEN}\n"))
        .expect_success();
    org.alice
        .run(&["secret", "allow", "HF_TOKEN", "--project", "vision"])
        .expect_success();
    let secret = ["--secret", "HF_TOKEN"];
    for more in [&secret[..], &[secret, vision].concat()] {
        eve.run(&job(more, "true")).expect_refusal(4, "not_found");
    }
    // Only in the project.
    dave.run(&job(&secret, "true"))
        .expect_refusal(4, "not_found")
        .names("no secret HF_TOKEN");

    // The last is written in two pieces, the first of which is read alone.
    let script = "echo token=$HF_TOKEN; echo ${#HF_TOKEN}; echo left > /output/file
        printf %.6s $HF_TOKEN; sleep 0.3; echo ${HF_TOKEN#??????}";
    let number = submit(&dave, &[secret, vision].concat(), script);
    dave.run(&["job", "wait", &number]).expect_success();
    let shown = dave.json(&["job", "show", &number]);
    assert_eq!(shown["summary"]["project"], "vision", "{shown}");
    assert_eq!(shown["spec"]["secrets"][0], "HF_TOKEN", "{shown}");
    let log = carol.run(&["logs", &number]).expect_success().stdout;
    assert!(log.contains("token=***\n22\n***\n"), "{log}");
    eve.run(&["logs", &number]).expect_refusal(4, "not_found");
    let audit = org.alice.json(&["org", "audit"]).to_string();
    assert!(audit.contains("secret_set"), "{audit}");
    for shown in [&log, &audit, &shown.to_string()] {
        assert!(!shown.contains(TOKEN), "{shown}");
    }
    assert_nowhere(org.folder());

    // The machine's owner has the last word on whose jobs come in.
    let rules = org.alice.agent_folder().join("owner.yaml");
    fs::write(rules, "who: {projects: [vision]}\n").unwrap();
    until("the owner's rules to be told", || {
        let shown = org.alice.json(&["machine", "show", "box"]);
        (shown["report"]["admits"]["projects"][0] == "vision").then_some(())
    });
    let kept_out = eve.run(&job(&[], "true")).expect_refusal(3, "never_fits");
    kept_out.names("its owner does not let eve in");
    let shown = eve.json(&["machine", "show", "box"]);
    assert_eq!(
        shown["report"]["admits"]["projects"],
        serde_json::json!([]),
        "{shown}"
    );
    let let_in = submit(&dave, &vision, "true");
    dave.run(&["job", "wait", &let_in]).expect_success();

    bob.run(&["project", "set", "vision", "--download", "none"])
        .expect_success();
    dave.run(&["job", "pull", &number, "--to", "there"])
        .expect_refusal(3, "permission_denied");
    bob.run(&["job", "pull", &number, "--to", "there"])
        .expect_success();
}

#[test]
fn data_of_a_project_is_deleted_by_whom_it_lets_and_never_under_a_job() {
    let org = Org::start();
    let _agent = org.agent(&org.alice, "box");
    let [bob, carol, dave] = ["bob", "carol", "dave"].map(|handle| org.join(handle));
    bob.run(&["project", "create", "vision"]).expect_success();
    for (access, to) in [("upload", "carol"), ("contribute", "dave")] {
        bob.run(&["project", "grant", "vision", access, to])
            .expect_success();
    }
    let upload = |person: &Person, name: &str| {
        let folder = person.here().join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("data"), format!("what {name} holds")).unwrap();
        let folder = folder.display().to_string();
        let arguments = ["dataset", "upload", &folder, "--name", name];
        person
            .run(&[&arguments[..], &["--project", "vision"]].concat())
            .expect_success();
    };
    upload(&carol, "roads");
    upload(&dave, "maps");
    let delete = |person: &Person, name| person.run(&["--yes", "dataset", "delete", "--now", name]);
    delete(&carol, "roads")
        .expect_refusal(3, "permission_denied")
        .names("it takes contribute");
    dave.run(&["dataset", "delete", "roads"])
        .expect_refusal(2, "confirmation_needed");
    delete(&dave, "roads").expect_success();
    delete(&dave, "roads").expect_refusal(4, "not_found");

    let more = ["--project", "vision", "--dataset", "maps:/maps"];
    let number = submit(&dave, &more, "sleep 600");
    delete(&dave, "maps")
        .expect_refusal(3, "in_use")
        .names("1 job still uses it (job ");
    let shown = dave.json(&["dataset", "delete", "maps", "--dry-run"]);
    assert_eq!(
        (&shown["jobs"], &shown["versions"]),
        (&1.into(), &1.into()),
        "{shown}"
    );
    dave.run(&["--yes", "job", "cancel", &number])
        .expect_success();
    until("the job to be over", || {
        (dave.job_status(&number)? == "cancelled").then_some(())
    });
    bob.run(&["project", "set", "vision", "--delete", "admins"])
        .expect_success();
    delete(&dave, "maps")
        .expect_refusal(3, "permission_denied")
        .names("it takes administer");
    dave.run(&["dataset", "move", "maps", "--project", "none"])
        .expect_refusal(3, "permission_denied");
    delete(&bob, "maps").expect_success();
    // Nothing else needs it: its bytes go.
    until("the bytes to be gone", || {
        (files_in(&org.coordinator.data().join("blobs/chunks")) == 0).then_some(())
    });
    let shown = dave.json(&["job", "show", &number]);
    assert_eq!(
        shown["spec"]["datasets"][0]["dataset"]["version"], 1,
        "{shown}"
    );
}

fn files_in(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let counts = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => files_in(&entry.path()),
        _ => 1,
    });
    counts.sum()
}

/// Checks that no file of anybody holds the secret: the coordinator's, the machine's, a person's.
fn assert_nowhere(folder: &Path) {
    let mut folders = vec![folder.to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(kind) if kind.is_file() => {
                    let length = entry.metadata().map_or(0, |file| file.len());
                    if length > LARGEST {
                        continue;
                    }
                    files += 1;
                    let bytes = fs::read(&path).unwrap_or_default();
                    let text = String::from_utf8_lossy(&bytes);
                    assert!(!text.contains(TOKEN), "{}", path.display());
                }
                _ => {}
            }
        }
    }
    assert!(
        files > 10,
        "the coordinator and five people leave more than that"
    );
}
