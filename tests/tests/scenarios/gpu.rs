//! GPUs lent whole and in shares, with a driver that is played.

use compute_share_tests::{Graphics, Org, Person, until};

/// Soon heard of, whatever happens on a machine.
const QUICK: &str = "lease = \"6s\"\nheartbeat = \"500ms\"";

/// Submits a job with GPUs and returns its number.
fn submit(person: &Person, flags: &[&str], command: &[&str]) -> String {
    let all = [
        &["submit", "--no-workdir", "--memory", "64MiB"],
        flags,
        &["--"],
        command,
    ]
    .concat();
    person.json(&all)["number"].to_string()
}

fn wait_for(person: &Person, job: &str, status: &str) {
    until(&format!("job {job} to be {status}"), || {
        (person.job_status(job)? == status).then_some(())
    });
}

/// Waits until the machine says this of its first GPU.
fn wait_for_health(org: &Org, health: &str) {
    until(&format!("the GPU to be {health}"), || {
        let machine = org.alice.try_json(&["machine", "show", "box"])?;
        let gpu = &machine["report"]["capacity"]["gpus"][0];
        (gpu["health"] == health).then_some(())
    });
}

#[test]
fn a_job_gets_the_gpu_that_it_was_granted_and_no_other() {
    let org = Org::start_with(QUICK);
    let mut bob = org.join("bob");
    let _graphics = Graphics::of(&mut bob);
    let _agent = org.agent(&bob, "box");
    let script = "cd /dev; echo nvidia*; cat nvidia1; echo; echo $CUDA_VISIBLE_DEVICES";
    let flags = ["--gpu", "h200:1"];
    let job = submit(&org.alice, &flags, &["sh", "-c", script]);
    wait_for(&org.alice, &job, "succeeded");
    let log = org.alice.run(&["job", "logs", &job]).stdout;
    assert_eq!(log, "nvidia1 nvidiactl\nnvidia1\nGPU-bbbb\n");
}

#[test]
fn of_two_jobs_on_one_gpu_the_greedy_one_is_stopped_and_what_it_leaves_blocks_the_next() {
    let org = Org::start_with(QUICK);
    let mut bob = org.join("bob");
    let graphics = Graphics::of(&mut bob);
    let _agent = org.agent(&bob, "box");
    let shared = ["--gpu", "rtx-4090:1", "--gpu-memory", "8GiB", "--gpu-share"];
    let greedy = submit(&org.alice, &shared, &["sleep", "7101"]);
    let modest = submit(&org.alice, &shared, &["sleep", "7102"]);
    for job in [&greedy, &modest] {
        wait_for(&org.alice, job, "running");
    }
    graphics.play("command 0 9000 sleep 7101\ncommand 0 4000 sleep 7102\n");
    wait_for(&org.alice, &greedy, "failed");
    let shown = org.alice.json(&["job", "show", &greedy]);
    let outcome = &shown["attempts"][0]["outcome"];
    assert_eq!(outcome["reason"], "out_of_memory", "{outcome}");
    let detail = outcome["detail"].as_str().unwrap();
    let words = "it used 8.8 GiB of the memory of GPU-aaaa, of which its share was 8 GiB";
    assert_eq!(detail, words);
    assert_eq!(outcome["usage"]["peak_gpu_memory"], 9000_u64 << 20);
    let log = org.alice.run(&["job", "logs", &greedy]);
    assert!(format!("{log:?}").contains(words), "{log:?}");
    // Nobody else is harmed, and what it uses is shown.
    until("the other's use to be shown", || {
        let shown = org.alice.try_json(&["job", "show", &modest])?;
        let samples = shown["attempts"][0]["samples"].as_array()?.clone();
        let used = &samples.last()?["gpu_memory"];
        (*used == 4000_u64 << 20).then_some(())
    });
    assert_eq!(org.alice.job_status(&modest).unwrap(), "running");

    // It ends, and the driver does not let go of what it took.
    graphics.play("idle 0 5000\n");
    org.alice
        .run(&["job", "cancel", &modest, "--yes"])
        .expect_success();
    wait_for_health(&org, "leftover");
    let status = bob.run(&["status"]).expect_success().stdout;
    assert!(status.contains("what an earlier job left"), "{status}");
    let next = submit(&org.alice, &["--gpu", "rtx-4090:1"], &["true"]);
    let why = org.alice.run(&["job", "why", &next]).expect_success();
    assert_eq!(org.alice.job_status(&next).unwrap(), "queued", "{why:?}");
    graphics.play("");
    wait_for(&org.alice, &next, "succeeded");
}

#[test]
fn a_gpu_with_a_fault_or_in_others_hands_is_not_lent_and_says_why() {
    let org = Org::start_with(QUICK);
    let mut bob = org.join("bob");
    let graphics = Graphics::of(&mut bob);
    let _agent = org.agent(&bob, "box");
    // Some program of this machine that is no job: the test itself.
    graphics.play(&format!("process 0 {} 2000\n", std::process::id()));
    wait_for_health(&org, "used_by_others");
    graphics.play("xid 1 0 79\n");
    until("the fault to be told", || {
        let shown = org.alice.run(&["machine", "show", "box"]).stdout;
        shown.contains("it fell off the bus (Xid 79)").then_some(())
    });
    let job = submit(
        &org.alice,
        &["--gpu", "1"],
        &["sh", "-c", "echo $CUDA_VISIBLE_DEVICES"],
    );
    wait_for(&org.alice, &job, "succeeded");
    let log = org.alice.run(&["job", "logs", &job]).stdout;
    assert_eq!(log, "GPU-bbbb\n", "the other one is lent on");
}
