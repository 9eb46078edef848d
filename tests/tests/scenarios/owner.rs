//! A machine stays its owner's: the owner comes back, pauses while nobody can be asked, slips in the rules.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use compute_share_tests::{Org, Person, Seat, until};

/// Returns a job that ticks on the first attempt until it is ended; the second is through at once.
fn ticking() -> String {
    format!(
        ": {}; [ $COMPUTE_SHARE_ATTEMPT -gt 1 ] && exit 0; \
         while :; do date +%s%N > tick.new; mv tick.new tick; sleep 0.01; done",
        std::process::id()
    )
}

fn submit(person: &Person) -> String {
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
        &ticking(),
    ]);
    submitted["number"].to_string()
}

fn rules(person: &Person, text: &str) {
    fs::create_dir_all(person.agent_folder()).unwrap();
    fs::write(person.agent_folder().join("owner.yaml"), text).unwrap();
}

/// Returns the file in which the job ticks, as the job itself sees it: on its machine it may be on a disk that
/// nobody else has.
fn tick_of_job() -> PathBuf {
    let script = ticking();
    until("the job to tick", || {
        let mut processes = fs::read_dir("/proc").unwrap().flatten();
        processes.find_map(|entry| {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let tick = entry.path().join("root/work/tick");
            let ours = String::from_utf8_lossy(&line).contains(&script) && tick.exists();
            ours.then_some(tick)
        })
    })
}

fn until_changed(tick: &Path) {
    let before = fs::read(tick).ok();
    until("a tick", || (fs::read(tick).ok() != before).then_some(()));
}

/// Returns how long after `begun` the job ticked last.
fn stands_still(tick: &Path, begun: Instant) -> Duration {
    let (mut last, mut at) = (fs::read(tick).ok(), Instant::now());
    until("the job to stand still", || {
        let now = fs::read(tick).ok();
        if now != last {
            (last, at) = (now, Instant::now());
        }
        (at.elapsed() > Duration::from_millis(700)).then_some(())
    });
    at.saturating_duration_since(begun)
}

#[test]
fn the_owner_comes_back_and_the_job_makes_room_and_ends_elsewhere() {
    let org = Org::start();
    let seat = Seat::new(org.folder());
    let bob = org.join("bob").at(&seat);
    rules(
        &bob,
        "when: {idle_for: 2s}\n\
         yield: {on_return: freeze, continue_after: 1s, freeze_at_most: 4s, grace: 1s}\n",
    );
    let _agent = org.agent(&bob, "box");
    let job = submit(&org.alice);
    let tick = tick_of_job();
    let carol = org.join("carol");
    let _near = org.agent(&carol, "near");
    until_changed(&tick);

    let begun = Instant::now();
    seat.come_back();
    let frozen_after = stands_still(&tick, begun);
    println!("frozen {frozen_after:?} after the owner's return");
    assert!(frozen_after < Duration::from_secs(1), "{frozen_after:?}");
    let status = bob.json(&["status"]);
    assert!(status["running"][0]["frozen_since"].is_string(), "{status}");
    assert_eq!(status["pause"]["by"], "rule", "{status}");
    org.wait_for_machine("box", "paused");
    let machine = org.alice.json(&["machine", "show", "box"]);
    assert!(
        machine.to_string().contains("its owner is at the keyboard"),
        "{machine}"
    );

    // The owner stays for longer than the job may stand still.
    org.alice.run(&["job", "wait", &job]).expect_success();
    let shown = org.alice.json(&["job", "show", &job]);
    let attempts = shown["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{shown}");
    let first = &attempts[0]["outcome"];
    assert_eq!(first["reason"], "machine_owner", "{shown}");
    let detail = first["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("its owner is at the keyboard"),
        "{shown}"
    );
    assert_eq!(attempts[0]["machine"], "box");
    assert_eq!(attempts[1]["machine"], "near");
    assert_eq!(shown["summary"]["status"], "succeeded");

    seat.leave(Duration::from_secs(60));
    org.wait_for_machine("box", "available");
}

#[test]
fn a_pause_and_a_slip_in_the_rules_work_while_the_coordinator_is_away() {
    let mut org = Org::start();
    let bob = org.join("bob");
    let mut agent = org.agent(&bob, "box");
    org.coordinator.daemon.kill();
    bob.run(&["pause"]).expect_success();
    rules(&bob, "resources: {cpu_limit: 80}\nwhen:\n  hours: [noon]\n");
    let slipped = until("the slip to be said", || {
        let status = bob.try_json(&["status"])?;
        let problem = status["owner_rules_problem"]["why"].as_str()?.to_owned();
        Some((problem, status))
    });
    assert!(slipped.0.contains("\"noon\" is not a day"), "{}", slipped.0);
    assert_eq!(slipped.1["pause"]["by"], "command");
    assert_eq!(slipped.1["offer"]["cpu"], slipped.1["capacity"]["cpu"]);
    // The pause holds over a restart; so do the rules that cannot be read keep an agent from starting.
    rules(&bob, "resources: {cpu_limit: 80}\n");
    agent.daemon.kill();
    agent.restart();
    until("the agent to answer", || {
        let status = bob.try_json(&["status"])?;
        (status["pause"]["by"] == "command").then_some(())
    });
    org.coordinator.restart();
    org.wait_for_machine("box", "paused");
    bob.run(&["resume"]).expect_success();
    org.wait_for_machine("box", "available");
}
