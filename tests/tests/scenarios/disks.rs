//! Full disks, on either side.

use std::fs;

use compute_share_tests::{Org, until};

#[test]
fn an_upload_that_does_not_fit_is_refused_and_everything_else_goes_on() {
    let org = Org::start_on_small_disk(96);
    let _agent = org.agent(&org.alice, "box");
    let data = org.folder().join("large");
    fs::create_dir(&data).unwrap();
    let noise: Vec<u8> = (0..40_000_000_u32)
        .flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    fs::write(data.join("noise"), noise).unwrap();
    org.alice
        .run(&[
            "dataset",
            "upload",
            data.to_str().unwrap(),
            "--name",
            "large",
        ])
        .expect_refusal(1, "disk_full");
    org.alice
        .run(&["dataset", "show", "large"])
        .expect_refusal(4, "not_found");
    let run = org.alice.run(&[
        "run",
        "--no-workdir",
        "--memory",
        "32MiB",
        "--",
        "echo",
        "goes on",
    ]);
    assert_eq!(run.expect_success().stdout, "goes on\n");
}

#[test]
fn a_dataset_larger_than_what_a_machine_lends_is_not_fetched() {
    let org = Org::start();
    let bob = org.join("bob");
    let folder = bob.agent_folder();
    fs::create_dir_all(&folder).unwrap();
    fs::write(
        folder.join("owner.yaml"),
        "resources: {disk_limit: 24MiB}\n",
    )
    .unwrap();
    let _agent = org.agent(&bob, "box");
    let data = org.folder().join("large");
    fs::create_dir(&data).unwrap();
    let noise: Vec<u8> = (0..10_000_000_u32)
        .flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    fs::write(data.join("noise"), noise).unwrap();
    org.alice
        .run(&[
            "dataset",
            "upload",
            data.to_str().unwrap(),
            "--name",
            "large",
        ])
        .expect_success();
    let submit = [
        "submit",
        "--no-workdir",
        "--memory",
        "32MiB",
        "--disk",
        "1MiB",
        "--dataset",
        "large:/data",
        "--",
        "true",
    ];
    let refused = org.alice.run(&submit).expect_refusal(3, "never_fits");
    refused
        .names("reads 38.1 MiB of data")
        .names("keeps is 6 MiB (box)")
        .names("cache_limit");
    // Its owner gives the cache more.
    let rules = "resources: {disk_limit: 64MiB}\ndata: {cache_limit: 44MiB}\n";
    fs::write(folder.join("owner.yaml"), rules).unwrap();
    let job = until("the machine to keep more", || {
        let submitted = org.alice.run(&submit);
        (submitted.code == Some(0))
            .then(|| org.alice.json(&["ps", "--all"])[0]["number"].to_string())
    });
    until("the job to end", || {
        (org.alice.job_status(&job)? == "succeeded").then_some(())
    });
}
