//! Data on a machine: brought before it is wanted, shared by versions, kept over restarts, given up by its owner.

use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt, path::Path};

use compute_share_tests::{Org, Person, until};
use serde_json::Value;

/// Bytes without a pattern, other ones for each seed.
fn noise(seed: u32, words: u32) -> Vec<u8> {
    let word = |i: u32| {
        (i ^ seed.rotate_left(16))
            .wrapping_mul(2_654_435_761)
            .to_le_bytes()
    };
    (0..words).flat_map(word).collect()
}

/// Uploads a version that has one file of its own beside what all have.
fn upload(org: &Org, version: u32) {
    let data = org.folder().join("digits");
    fs::create_dir_all(data.join("small")).unwrap();
    for file in 0..20 {
        fs::write(data.join(format!("small/{file}")), noise(file, 500)).unwrap();
    }
    fs::write(data.join("large"), noise(99, 1_000_000)).unwrap();
    fs::write(data.join("version"), format!("this is {version}\n")).unwrap();
    let data = data.to_str().unwrap();
    let upload = ["dataset", "upload", data, "--name", "digits"];
    org.alice.run(&upload).expect_success();
}

fn cat(person: &Person, dataset: &str) -> String {
    let mount = format!("{dataset}:/data");
    let command = [
        "run",
        "--no-workdir",
        "--memory",
        "32MiB",
        "--dataset",
        &mount,
        "--",
    ];
    let run = person.run(&[&command[..], &["cat", "/data/version"]].concat());
    run.expect_success().stdout
}

/// Returns what the owner sees, by name.
fn listed(person: &Person) -> BTreeMap<String, Value> {
    let content = until("the agent answers", || person.try_json(&["cache", "list"]));
    let entries = content["entries"].as_array().unwrap().iter();
    let named = entries.map(|entry| (entry["name"].as_str().unwrap().to_owned(), entry.clone()));
    named.collect()
}

fn inode(person: &Person, id: &Value, file: &str) -> u64 {
    let trees = person.agent_folder().join("cache/trees");
    fs::metadata(trees.join(id.as_str().unwrap()).join(file))
        .unwrap()
        .ino()
}

#[test]
fn data_is_there_before_the_job_versions_share_it_and_the_owner_gives_it_up() {
    let org = Org::start();
    let mut agent = org.agent(&org.alice, "box");
    upload(&org, 1);
    let cold = org.alice.json(&[
        "submit",
        "--dry-run",
        "--no-workdir",
        "--dataset",
        "digits:/d",
        "--",
        "true",
    ]);
    assert_eq!(cold["data"][0]["there"], 0, "{cold}");
    let warm = ["dataset", "warm", "digits", "--machine", "box"];
    let told = org
        .alice
        .run(&[&warm[..], &["--wait"]].concat())
        .expect_success()
        .stdout;
    assert!(
        told.contains("digits@1 is on box") && told.contains("already there"),
        "{told}"
    );
    let there = org.alice.run(&[
        "submit",
        "--dry-run",
        "--no-workdir",
        "--dataset",
        "digits:/d",
        "--",
        "true",
    ]);
    let there = there.expect_success().stdout;
    assert!(there.contains("box: 3.9 MiB already there"), "{there}");
    let shown = org
        .alice
        .run(&["machine", "show", "box"])
        .expect_success()
        .stdout;
    assert!(shown.contains("digits@1, 3.9 MiB"), "{shown}");
    assert_eq!(cat(&org.alice, "digits"), "this is 1\n");

    upload(&org, 2);
    agent.daemon.stop();
    agent.restart();
    org.wait_for_machine("box", "available");
    assert_eq!(cat(&org.alice, "digits"), "this is 2\n");
    let all = listed(&org.alice);
    let (one, two) = (&all["digits@1"], &all["digits@2"]);
    for file in ["large", "small/7"] {
        assert_eq!(
            inode(&org.alice, &one["id"], file),
            inode(&org.alice, &two["id"], file)
        );
    }
    assert_eq!(one["shared"], two["shared"]);
    assert!(one["shared"].as_u64() > Some(4_000_000), "{one}");

    agent.daemon.kill();
    agent.restart();
    org.wait_for_machine("box", "available");
    assert_eq!(listed(&org.alice)["digits@1"]["shared"], one["shared"]);
    org.alice
        .run(&["cache", "evict", "digits@9"])
        .expect_refusal(4, "not_found");
    org.alice
        .run(&["cache", "evict", "digits@1"])
        .expect_success();
    assert_eq!(listed(&org.alice).keys().collect::<Vec<_>>(), ["digits@2"]);
    let command = [
        "submit",
        "--no-workdir",
        "--memory",
        "32MiB",
        "--dataset",
        "digits:/data",
        "--",
    ];
    let job = org.alice.json(
        &[
            &command[..],
            &["sh", "-c", "cat /data/large > /dev/null; sleep 600"],
        ]
        .concat(),
    );
    let number = job["number"].to_string();
    until("the job runs", || {
        (org.alice.job_status(&number)? == "running").then_some(())
    });
    org.alice
        .run(&["cache", "evict", "digits@2"])
        .expect_refusal(3, "in_use");
    org.alice
        .run(&["job", "cancel", &number, "--yes"])
        .expect_success();
    until("nothing uses it", || {
        org.alice
            .run(&["cache", "evict", "--idle"])
            .succeeded()
            .filter(|()| listed(&org.alice).is_empty())
    });
    assert_eq!(cat(&org.alice, "digits@1"), "this is 1\n");
}

/// Returns whether a tree is on its way into the folder.
fn begun(cache: &Path) -> bool {
    fs::read_dir(cache.join("temps")).is_ok_and(|mut inside| inside.next().is_some())
}

#[test]
fn an_agent_that_is_killed_while_data_comes_brings_the_rest_and_what_does_not_fit_is_told() {
    let org = Org::start();
    let bob = org.join("bob");
    fs::create_dir_all(bob.agent_folder()).unwrap();
    let small = "resources: {disk_limit: 120MiB}\n";
    fs::write(bob.agent_folder().join("owner.yaml"), small).unwrap();
    let mut agent = org.agent(&bob, "box");
    for (name, words) in [("fits", 5_000_000), ("large", 10_000_000)] {
        let data = org.folder().join(name);
        fs::create_dir(&data).unwrap();
        fs::write(data.join("noise"), noise(1, words)).unwrap();
        let data = data.to_str().unwrap();
        org.alice
            .run(&["dataset", "upload", data, "--name", name])
            .expect_success();
    }
    org.alice
        .run(&["dataset", "warm", "fits", "--machine", "box"])
        .expect_success();
    let cache = bob.agent_folder().join("cache");
    until("it is on its way or there", || {
        (begun(&cache) || !listed(&bob).is_empty()).then_some(())
    });
    agent.daemon.kill();
    agent.restart();
    let warm = ["dataset", "warm", "fits", "--machine", "box", "--wait"];
    org.alice.run(&warm).expect_success();
    let trees: Vec<_> = fs::read_dir(cache.join("trees")).unwrap().collect();
    let tree = trees[0].as_ref().unwrap().path();
    assert_eq!(fs::read(tree.join("noise")).unwrap(), noise(1, 5_000_000));
    let warm = ["dataset", "warm", "large", "--machine", "box", "--wait"];
    org.alice.run(&warm).expect_refusal(1, "disk_full");
    org.alice
        .run(&["dataset", "warm", "fits", "--machine", "nowhere"])
        .expect_refusal(4, "not_found");
}
