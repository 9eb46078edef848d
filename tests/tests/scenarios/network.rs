//! Jobs with a network: the owner's word comes first, and the coordinator is never a part of it.

use std::fs;

use compute_share_tests::{Org, until};

/// Asks the job's proxy for the coordinator, and says what it answers.
fn knocking(port: u16) -> String {
    format!(
        "p=${{HTTP_PROXY#http://127.0.0.1:}}; exec 3<>/dev/tcp/127.0.0.1/$p
        printf 'CONNECT localhost:{port} HTTP/1.1\\r\\n\\r\\n' >&3; read -r line <&3; echo \"it says $line\""
    )
}

#[test]
fn a_job_has_the_network_that_the_owner_allows_and_no_way_to_the_coordinator() {
    let org = Org::start();
    let bob = org.join("bob");
    let rules = bob.agent_folder().join("owner.yaml");
    fs::create_dir_all(bob.agent_folder()).unwrap();
    fs::write(&rules, "what: {network: [none]}\n").unwrap();
    let _agent = org.agent(&bob, "box");
    let script = knocking(org.coordinator.address.port());
    let submit = [
        "submit",
        "--no-workdir",
        "--cpu",
        "0.1",
        "--memory",
        "64MiB",
        "--disk",
        "16MiB",
        "--network",
        "internet",
        "--",
        "bash",
        "-c",
        &script,
    ];
    org.alice
        .run(&submit)
        .expect_refusal(3, "never_fits")
        .names("network internet, which its owner does not allow");
    fs::write(&rules, "what: {network: [internet]}\n").unwrap();
    let job = until("the owner's word to be known", || {
        org.alice.try_json(&submit)
    });
    let job = job["number"].to_string();
    org.alice.run(&["job", "wait", &job]).expect_success();
    let log = org.alice.run(&["job", "logs", &job]).expect_success();
    let all = format!("{}{}", log.stdout, log.stderr);
    assert!(all.contains("it says HTTP/1.1 403 Forbidden"), "{all}");
    assert!(all.contains("a job may not reach localhost:"), "{all}");
    let usage = org.alice.json(&["job", "show", &job])["attempts"][0]["outcome"]["usage"].clone();
    assert_eq!(usage["sent"], 0, "{usage}");
}
