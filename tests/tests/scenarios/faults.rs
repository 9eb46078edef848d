//! What goes wrong between machines: killed daemons, a network that is cut.

use std::fs;

use compute_share_tests::{Cable, Org, Person, until};

/// A job that counts to `last`, a line each, `pause` seconds apart, and leaves its sum.
fn counting(last: u32, pause: &str) -> String {
    format!(
        "i=1; while [ $i -le {last} ]; do echo line $i; i=$((i+1)); sleep {pause}; done; \
         echo done > /output/sum"
    )
}

fn submit(person: &Person, script: &str) -> String {
    let submitted = person.json(&[
        "submit",
        "--no-workdir",
        "--cpu",
        "0.1",
        "--memory",
        "32MiB",
        "--",
        "sh",
        "-c",
        script,
    ]);
    submitted["number"].to_string()
}

fn lines(last: u32) -> String {
    (1..=last).map(|i| format!("line {i}\n")).collect()
}

/// Waits for the end, and checks that nothing was lost, doubled or tried twice.
fn check_whole(org: &Org, job: &str, last: u32) {
    org.alice.run(&["job", "wait", job]).expect_success();
    assert_eq!(
        org.alice.run(&["job", "logs", job]).expect_success().stdout,
        lines(last)
    );
    let shown = org.alice.json(&["job", "show", job]);
    assert_eq!(shown["attempts"].as_array().unwrap().len(), 1, "{shown}");
    let to = org.folder().join(format!("pulled-{job}"));
    org.alice
        .run(&["job", "pull", job, "--to", to.to_str().unwrap()])
        .expect_success();
}

fn wait_for_line(org: &Org, job: &str, line: u32) {
    let wanted = format!("line {line}\n");
    until(&format!("{wanted:?} of job {job}"), || {
        org.alice
            .run(&["job", "logs", job])
            .stdout
            .contains(&wanted)
            .then_some(())
    });
}

#[test]
fn the_coordinator_is_killed_while_a_job_runs() {
    let mut org = Org::start();
    let bob = org.join("bob");
    let _agent = org.agent(&bob, "box");
    let job = submit(&org.alice, &counting(120, "0.05"));
    let mut follower = org
        .alice
        .background("follower", &["job", "logs", "-f", &job]);
    wait_for_line(&org, &job, 10);
    for _ in 0..2 {
        org.coordinator.daemon.kill();
        org.alice
            .run(&["ps"])
            .expect_refusal(5, "coordinator_unreachable");
        org.coordinator.restart();
        until("the coordinator to answer", || {
            org.alice.run(&["ps"]).succeeded()
        });
    }
    check_whole(&org, &job, 120);
    assert!(follower.wait().success());
    let followed: String = follower
        .printed()
        .lines()
        .filter(|l| l.starts_with("line "))
        .map(|l| format!("{l}\n"))
        .collect();
    assert_eq!(followed, lines(120));
}

#[test]
fn the_coordinator_is_killed_and_the_job_ends_before_it_is_back() {
    let mut org = Org::start();
    let bob = org.join("bob");
    let agent = org.agent(&bob, "box");
    let job = submit(&org.alice, &counting(10, "0.02"));
    wait_for_line(&org, &job, 1);
    org.coordinator.daemon.kill();
    until("the job to end on its machine", || {
        agent
            .attempt_folder()?
            .join("result.json")
            .exists()
            .then_some(())
    });
    org.coordinator.restart();
    until("the coordinator to answer", || {
        org.alice.run(&["ps"]).succeeded()
    });
    check_whole(&org, &job, 10);
}

#[test]
fn the_agent_is_killed_while_a_job_runs_and_adopts_it_again() {
    let org = Org::start();
    let bob = org.join("bob");
    let mut agent = org.agent(&bob, "box");
    let job = submit(&org.alice, &counting(80, "0.05"));
    wait_for_line(&org, &job, 5);
    agent.daemon.kill();
    agent.restart();
    check_whole(&org, &job, 80);
}

#[test]
fn the_agent_is_killed_and_the_job_ends_before_it_is_back() {
    let org = Org::start();
    let bob = org.join("bob");
    let mut agent = org.agent(&bob, "box");
    let job = submit(&org.alice, &counting(10, "0.02"));
    wait_for_line(&org, &job, 1);
    agent.daemon.kill();
    until("the job to end on its machine", || {
        agent
            .attempt_folder()?
            .join("result.json")
            .exists()
            .then_some(())
    });
    agent.restart();
    check_whole(&org, &job, 10);
}

#[test]
fn an_attempt_whose_supervisor_died_is_ended_and_tried_again_never_both() {
    let org = Org::start();
    let bob = org.join("bob");
    let mut agent = org.agent(&bob, "box");
    let job = submit(
        &org.alice,
        "echo begun; while [ ! -e /data/go ]; do sleep 0.05; [ $COMPUTE_SHARE_ATTEMPT = 1 ] || break; done; echo over",
    );
    until("the job to begin", || {
        org.alice
            .run(&["job", "logs", &job])
            .stdout
            .contains("begun")
            .then_some(())
    });
    agent.daemon.kill();
    let folder = agent.attempt_folder().expect("the attempt has a folder");
    kill_supervisor(&folder);
    agent.restart();
    org.alice.run(&["job", "wait", &job]).expect_success();
    let shown = org.alice.json(&["job", "show", &job]);
    let attempts = shown["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{shown}");
    assert_eq!(attempts[0]["outcome"]["reason"], "machine_lost");
    assert_eq!(attempts[1]["outcome"]["reason"], "exited");
}

fn kill_supervisor(folder: &std::path::Path) {
    let wanted = folder.to_string_lossy().into_owned();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.contains("supervise") && line.contains(&wanted) {
            let pid: i32 = process.file_name().to_str().unwrap().parse().unwrap();
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            return;
        }
    }
    panic!("no supervisor of {wanted} runs");
}

/// The job itself takes a minute; the cable is out from its first lines until it has ended.
#[test]
fn the_network_is_cut_for_a_minute() {
    let org = Org::start();
    let bob = org.join("bob");
    let cable = Cable::to(org.coordinator.address);
    let agent = org.agent_behind(&cable, &bob, "box");
    let job = submit(&org.alice, &counting(300, "0.2"));
    wait_for_line(&org, &job, 2);
    cable.cut();
    until("the coordinator to notice", || {
        (org.alice.try_json(&["machine", "show", "box"])?["status"] == "offline").then_some(())
    });
    until("the job to end on its machine", || {
        agent
            .attempt_folder()?
            .join("result.json")
            .exists()
            .then_some(())
    });
    assert_eq!(org.alice.job_status(&job).as_deref(), Some("running"));
    cable.mend();
    check_whole(&org, &job, 300);
}

/// A lease of two seconds; the machine does not come back within it, so the task moves on, and what the
/// first machine says afterwards no longer counts.
#[test]
fn a_lost_lease_moves_the_task_and_one_attempt_wins() {
    let org = Org::start_with("lease = \"2s\"\nheartbeat = \"500ms\"");
    let bob = org.join("bob");
    let cable = Cable::to(org.coordinator.address);
    let _far = org.agent_behind(&cable, &bob, "far");
    // Only the first attempt waits for ever.
    let job = submit(
        &org.alice,
        "echo attempt $COMPUTE_SHARE_ATTEMPT; [ $COMPUTE_SHARE_ATTEMPT -gt 1 ] || sleep 1000",
    );
    until("the first attempt to begin", || {
        org.alice
            .run(&["job", "logs", &job])
            .stdout
            .contains("attempt 1")
            .then_some(())
    });
    let carol = org.join("carol");
    let _near = org.agent(&carol, "near");
    cable.cut();
    org.alice.run(&["job", "wait", &job]).expect_success();
    cable.mend();
    org.wait_for_machine("far", "available");
    let shown = org.alice.json(&["job", "show", &job]);
    let attempts = shown["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{shown}");
    assert_eq!(attempts[0]["outcome"]["reason"], "machine_lost");
    assert_eq!(
        (
            &attempts[1]["machine"],
            &attempts[1]["outcome"]["exit_code"]
        ),
        (&"near".into(), &0.into())
    );
    assert_eq!(shown["summary"]["status"], "succeeded");
}

/// As when a laptop changes its network, or a NAT forgets its table: the connection moves, nobody reconnects.
#[test]
fn the_agents_address_changes_and_its_connection_lives_on() {
    let org = Org::start();
    let bob = org.join("bob");
    let cable = Cable::to(org.coordinator.address);
    let agent = org.agent_behind(&cable, &bob, "box");
    let job = submit(&org.alice, &counting(60, "0.05"));
    wait_for_line(&org, &job, 5);
    cable.rebind();
    check_whole(&org, &job, 60);
    let connected = agent.daemon.printed().matches(": connected").count();
    assert_eq!(connected, 1, "{}", agent.daemon.printed());
}
