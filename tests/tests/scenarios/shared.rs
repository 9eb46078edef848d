//! Tasks of an array that follow one another in a sandbox.

use std::{collections::BTreeSet, fs, path::Path};

use compute_share_tests::{Org, Person, until};

/// Says which sandbox it is in, and what it finds there of others.
const SCRIPT: &str = "readlink /proc/self/ns/pid; ls -A /work /tmp /output | tr '\\n' ' '; \
                      echo task $COMPUTE_SHARE_TASK_INDEX; touch /work/mine /tmp/mine; \
                      test $COMPUTE_SHARE_TASK_INDEX != 3";
const TASKS: usize = 8;

/// Runs an array of small tasks; returns the sandboxes that they were in.
fn sandboxes(person: &Person, job: &str, more: &[&str], script: &str) -> BTreeSet<String> {
    let small = ["--cpu", "0.25", "--memory", "32MiB", "--disk", "16MiB"];
    let array = ["run", "--no-workdir", "--array", "0-7%2"];
    let asked = [&array[..], &small, more, &["--", "sh", "-c", script]].concat();
    let ended = person.run(&asked);
    assert_eq!(ended.code, Some(1), "task 3 fails: {}", ended.stderr);
    let shown = person.json(&["job", "show", job]);
    assert_eq!(shown["summary"]["tasks"]["succeeded"], TASKS - 1);
    let log = |task| {
        let log = person.run(&["logs", &format!("{job}.{task}")]);
        log.expect_success().stdout
    };
    let lines = (0..TASKS).map(|task| {
        let log = log(task);
        let (sandbox, found) = log.split_once('\n').unwrap();
        let expect = format!("/output: /tmp: /work: task {task}");
        let found: Vec<&str> = found.split_whitespace().collect();
        assert_eq!(found.join(" "), expect, "{log}");
        sandbox.to_owned()
    });
    lines.collect()
}

#[test]
fn tasks_of_an_array_follow_one_another_in_a_sandbox_unless_the_job_asks_otherwise() {
    let org = Org::start();
    let _agent = org.agent(&org.alice, "box");
    let alice = &org.alice;
    let shared = sandboxes(alice, "1", &[], SCRIPT);
    if can_be_shared() {
        assert!(shared.len() < TASKS, "{shared:?}");
    }
    let own = sandboxes(alice, "2", &["--sandbox", "task"], SCRIPT);
    assert_eq!(own.len(), TASKS, "{own:?}");
    let shown = alice.run(&["job", "show", "2"]).expect_success().stdout;
    assert!(shown.contains("task"), "{shown}");
    // What is left is sent from where it is, so that nobody follows there.
    let leaves = format!("echo $COMPUTE_SHARE_TASK_INDEX > /output/index; {SCRIPT}");
    let leaves = leaves.replace("/output |", "|");
    let kept = sandboxes_of_leavers(alice, "3", &leaves);
    assert_eq!(kept, TASKS);
    alice
        .run(&["submit", "--sandbox", "machine", "--", "true"])
        .expect_refusal(2, "bad_request");
    let rooms = alice.agent_folder().join("rooms");
    until("nothing to be left of sandboxes", || {
        let left = fs::read_dir(&rooms).ok()?.next();
        left.is_none().then_some(())
    });
}

/// Returns whether this machine surely has what that takes: limits that hold, counters that can be set back.
fn can_be_shared() -> bool {
    let old_form = Path::new("/sys/fs/cgroup/memory").is_dir();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release
        .split(['.', '-'])
        .map(|number| number.parse::<u32>());
    let version = (numbers.next(), numbers.next());
    let new_kernel =
        matches!(version, (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= (6, 12));
    rustix::process::geteuid().is_root() && (old_form || new_kernel)
}

/// Runs the array once more; returns how many tasks' files came back.
fn sandboxes_of_leavers(person: &Person, job: &str, script: &str) -> usize {
    let small = ["--cpu", "0.25", "--memory", "32MiB", "--disk", "16MiB"];
    let array = ["run", "--no-workdir", "--array", "0-7%2"];
    person.run(&[&array[..], &small, &["--", "sh", "-c", script]].concat());
    let stored = || {
        let listed = person.json(&["job", "artifacts", job]);
        let tasks = listed.as_array()?.iter();
        let kept = tasks.filter(|one| one["artifacts"].get("stored").is_some());
        (kept.count() == TASKS).then_some(TASKS)
    };
    until("what they left to be there", stored)
}
