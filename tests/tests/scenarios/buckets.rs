//! An org's data in a bucket of a real S3 server: how it gets there, stays whole, and comes back.

use std::{fs, path::Path};

use compute_share_tests::{
    Org, Person,
    bucket::{Bucket, ID, SECRET},
    until,
};
use serde_json::Value;

/// Writes a folder of some files that do not compress, and returns it.
fn folder(org: &Org, name: &str, files: u8) -> String {
    let folder = org.folder().join(name);
    fs::create_dir(&folder).unwrap();
    for number in 0..files {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64 + u64::from(number);
        let mut bytes = Vec::new();
        while bytes.len() < 1 << 20 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        fs::write(folder.join(number.to_string()), bytes).unwrap();
    }
    folder.to_str().unwrap().to_owned()
}

fn keys(person: &Person, id: &str, secret: &str) {
    for (name, value) in [("S3_ACCESS_KEY_ID", id), ("S3_SECRET_ACCESS_KEY", secret)] {
        let set = person.run_told(&["secret", "set", name], &format!("{value}\n"));
        set.expect_success();
    }
}

/// Waits until all of the org's data is where it is to be.
fn settled(person: &Person) -> Value {
    until("the data to have moved", || {
        let shown = person.try_json(&["org", "storage"])?;
        (shown["moving"] == false).then_some(shown)
    })
}

/// Downloads a dataset and compares it with the folder that it was made of.
fn comes_back(org: &Org, name: &str, folder: &str) {
    let back = org.folder().join("back");
    let to = back.to_str().unwrap();
    org.alice
        .run(&["dataset", "download", name, "--to", to])
        .expect_success();
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let read = |path: &Path| fs::read(path).unwrap();
        assert!(read(&entry.path()) == read(&back.join(entry.file_name())));
        files += 1;
    }
    assert_eq!(fs::read_dir(&back).unwrap().count(), files);
    fs::remove_dir_all(back).unwrap();
}

/// Returns how many packs are on the coordinator's disk.
fn packs_here(org: &Org) -> usize {
    let stores = fs::read_dir(org.coordinator.data().join("blobs")).unwrap();
    let packs = stores.map(|store| store.unwrap().path().join("packs"));
    packs
        .map(|packs| fs::read_dir(packs).unwrap().count())
        .sum()
}

#[test]
fn a_bucket_is_tried_before_it_is_taken_and_only_the_owner_may() {
    let org = Org::start();
    let (bucket, bob) = (Bucket::start(), org.join("bob"));
    let place = format!("storage={}", bucket.place("lab"));
    let set = |place: &str| org.alice.run(&["org", "set", place]);
    let storage = || org.alice.json(&["org", "settings"])["storage"].clone();

    set(&place)
        .expect_refusal(3, "storage_refused")
        .names("S3_ACCESS_KEY_ID");
    keys(&org.alice, ID, "not the secret");
    let refused = set(&place).expect_refusal(3, "storage_refused");
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(
        !said.contains(ID) && !said.contains("not the secret"),
        "{said}"
    );
    keys(&org.alice, ID, SECRET);
    let nobody = "storage=s3://data/lab?endpoint=http://127.0.0.1:1&insecure=yes";
    set(nobody)
        .expect_refusal(1, "storage_unreachable")
        .names("Connection refused");
    for (bad, why) in [
        ("storage=s3://Data", "no name of a bucket"),
        (
            "storage=s3://data?endpoint=http://s3.example",
            "unprotected",
        ),
        ("storage=nfs://data", "neither local nor"),
    ] {
        set(bad).expect_refusal(2, "bad_setting").names(why);
    }
    bob.run(&["org", "set", &place])
        .expect_refusal(3, "permission_denied");
    bob.run(&["org", "storage"])
        .expect_refusal(3, "permission_denied");
    org.alice
        .run(&["member", "set-role", "bob", "admin"])
        .expect_success();
    bob.run(&["org", "set", &place])
        .expect_refusal(3, "permission_denied");
    assert_eq!(bob.json(&["org", "storage"])["moving"], false);
    assert_eq!(storage(), "local");
    assert_eq!(bucket.objects("lab"), [""; 0], "no probe is left");
    let trail = org.alice.run(&["-o", "json", "org", "audit"]).stdout;
    assert!(!trail.contains("org_settings_changed") && !trail.contains(SECRET));
    assert!(!org.coordinator.daemon.printed().contains(SECRET));
}

#[test]
fn data_moves_to_a_bucket_and_back_whatever_is_killed_meanwhile() {
    let mut org = Org::start();
    let bucket = Bucket::start();
    let place = format!("storage={}", bucket.place("lab"));
    let (first, second) = (folder(&org, "first", 3), folder(&org, "second", 2));
    let upload = |org: &Org, folder: &str, name: &str| {
        org.alice
            .run(&["dataset", "upload", folder, "--name", name])
    };
    upload(&org, &first, "first").expect_success();
    assert_eq!(packs_here(&org), 1);

    keys(&org.alice, ID, SECRET);
    org.alice.run(&["org", "set", &place]).expect_success();
    let shown = settled(&org.alice);
    assert_eq!(shown["local"], 0);
    assert_eq!(packs_here(&org), 0);
    comes_back(&org, "first", &first);
    upload(&org, &second, "second").expect_success();
    assert_eq!(packs_here(&org), 0);
    org.alice
        .run(&["dataset", "verify", "first"])
        .expect_success();

    // Killed, and found again with the bucket; while that is away, all else goes on.
    org.coordinator.daemon.kill();
    bucket.cut_after(0);
    org.coordinator.restart();
    until("the coordinator to answer", || {
        org.alice.run(&["ps"]).succeeded()
    });
    let third = folder(&org, "third", 1);
    upload(&org, &third, "third").expect_refusal(1, "storage_unreachable");
    org.alice
        .run(&["dataset", "show", "third"])
        .expect_refusal(4, "not_found");
    let to = org.folder().join("nowhere");
    org.alice
        .run(&["dataset", "download", "first", "--to", to.to_str().unwrap()])
        .expect_refusal(1, "storage_unreachable");
    bucket.mend();
    comes_back(&org, "second", &second);
    upload(&org, &third, "third").expect_success();

    // What is deleted goes from the bucket.
    let before = bucket.objects("lab").len();
    org.alice
        .run(&["dataset", "delete", "third", "--now", "--yes"])
        .expect_success();
    org.alice.run(&["dataset", "gc"]).expect_success();
    assert!(bucket.objects("lab").len() < before);

    // Back, turned round and killed on the way.
    for to in ["storage=local", place.as_str(), "storage=local"] {
        org.alice.run(&["org", "set", to]).expect_success();
        org.coordinator.daemon.kill();
        org.coordinator.restart();
        until("the coordinator to answer", || {
            org.alice.run(&["ps"]).succeeded()
        });
    }
    let shown = settled(&org.alice);
    assert_eq!(
        (&shown["remote"], &shown["bucket"]),
        (&0.into(), &Value::Null)
    );
    assert_eq!(bucket.objects("lab"), [""; 0]);
    comes_back(&org, "first", &first);
    comes_back(&org, "second", &second);
    assert!(!org.coordinator.daemon.printed().contains(SECRET));
}
