//! Jobs that wait for others, and jobs that somebody holds.

use compute_share_tests::{Org, Person, until};

fn submit(person: &Person, options: &[&str], script: &str) -> String {
    let small = ["--no-workdir", "--memory", "64MiB", "--disk", "64MiB"];
    let all = [
        &["submit", "-q"],
        &small[..],
        options,
        &["--", "sh", "-c", script],
    ]
    .concat();
    let submitted = person.run(&all).expect_success();
    submitted.stdout.trim().to_owned()
}

fn reaches(person: &Person, job: &str, status: &str) {
    until(&format!("job {job} to be {status}"), || {
        (person.job_status(job)? == status).then_some(())
    });
}

#[test]
fn jobs_go_one_after_the_other_and_what_can_never_start_is_cancelled() {
    let mut org = Org::start();
    let _agent = org.agent(&org.alice, "box");
    let alice = &org.alice;
    let first = submit(alice, &["--hold"], "exit 3");
    let repair = submit(alice, &["--after", &format!("{first}:failed")], "true");
    let train = submit(alice, &["--after", &first], "true");
    let evaluate = submit(alice, &["--after", &train], "true");
    let report = submit(alice, &["--after", &format!("{train}:ended")], "true");
    let codes = |job| alice.run(&["job", "why", job, "-q"]).stdout;
    assert!(codes(&first).contains("held"), "{}", codes(&first));
    assert!(codes(&train).contains("awaits_job"), "{}", codes(&train));
    let listed = alice.run(&["ps"]).stdout;
    assert!(
        listed.contains("queued, held") && listed.contains("queued, waits"),
        "{listed}"
    );
    alice
        .run(&["submit", "--no-workdir", "--after", "99", "--", "true"])
        .expect_refusal(4, "not_found");

    // What is waited for outlives the coordinator.
    org.coordinator.daemon.kill();
    org.coordinator.restart();
    until("the coordinator to answer", || {
        org.alice.run(&["ps"]).succeeded()
    });
    let alice = &org.alice;
    alice.run(&["job", "release", &first]).expect_success();
    reaches(alice, &first, "failed");
    reaches(alice, &repair, "succeeded");
    reaches(alice, &evaluate, "cancelled");
    reaches(alice, &report, "succeeded");
    let shown = alice.json(&["job", "show", &evaluate]);
    assert_eq!(shown["unmet"]["ended"], "cancelled", "{shown}");
    let words = alice.run(&["job", "show", &train]).stdout;
    let expect = format!("it waited for job {first} to succeed, which failed");
    assert!(words.contains(&expect), "{words}");
    alice
        .run(&["submit", "--no-workdir", "--after", &first, "--", "true"])
        .expect_refusal(3, "dependency_never_met")
        .names("it failed already");
    alice
        .run(&["job", "hold", &first])
        .expect_refusal(3, "wrong_state");
}

#[test]
fn cancelling_what_waits_along_says_how_much_and_asks() {
    let org = Org::start();
    let alice = &org.alice;
    let first = submit(alice, &[], "true");
    let second = submit(alice, &["--after", &format!("{first}:ended")], "true");
    let cancel = ["job", "cancel", &first, "--dependants"];
    alice
        .run(&cancel)
        .expect_refusal(2, "confirmation_needed")
        .names("1 job that waits for it is cancelled");
    assert_eq!(alice.job_status(&second).unwrap(), "queued");
    let done = alice.json(&[&cancel[..], &["--yes"]].concat());
    assert_eq!(done["dependants"], 1);
    assert_eq!(alice.job_status(&second).unwrap(), "cancelled");
}

#[test]
fn a_graph_goes_its_way_and_its_failed_tasks_run_again() {
    let org = Org::start();
    let _agent = org.agent(&org.alice, "box");
    let alice = &org.alice;
    let file = org.folder().join("graph.yaml");
    let path = file.to_str().unwrap();
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    let submit = ["submit", path, "--no-workdir"];
    write("jobs: {a: {command: x, after: [b]}, b: {command: x, after: [a]}}");
    alice
        .run(&submit)
        .expect_refusal(2, "bad_job_file")
        .names("a -> b -> a");
    write(
        "
defaults: {resources: {memory: 64MiB, disk: 64MiB}}
jobs:
  prepare: {command: 'true'}
  train: {command: 'echo $COMPUTE_SHARE_TASK_INDEX/$COMPUTE_SHARE_TASK_COUNT; exit $((COMPUTE_SHARE_TASK_INDEX / 2))', array: 0-2, after: [prepare]}
  report: {command: 'true', after: [train]}
  repair: {command: 'true', after: ['train:failed']}
",
    );
    let foreseen = alice.json(&[&submit[..], &["--dry-run"]].concat());
    let names: Vec<&str> = foreseen
        .as_array()
        .unwrap()
        .iter()
        .map(|job| job["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["prepare", "repair", "report", "train"]);
    assert_eq!(foreseen[2]["after"][0], "train:succeeded");
    assert_eq!(alice.json(&["job", "list"]).as_array().unwrap().len(), 0);

    let jobs = alice.json(&submit);
    let number = |name: &str| {
        let mut jobs = jobs.as_array().unwrap().iter();
        let job = jobs.find(|job| job["name"] == name).unwrap();
        job["number"].to_string()
    };
    let train = number("train");
    reaches(alice, &number("prepare"), "succeeded");
    reaches(alice, &train, "failed");
    reaches(alice, &number("repair"), "succeeded");
    reaches(alice, &number("report"), "cancelled");

    let again = alice.json(&["job", "rerun", &train, "--failed"]);
    assert_eq!(again["tasks"], 1, "{again}");
    let again = again["submitted"]["number"].to_string();
    reaches(alice, &again, "failed");
    let told = alice.run(&["job", "logs", &again]).stdout;
    assert!(told.contains("2/3"), "{told}");
    let shown = alice.run(&["job", "show", &train]).stdout;
    assert!(shown.contains(&format!("job {again}")), "{shown}");
    alice
        .run(&["job", "rerun", &number("repair"), "--failed"])
        .expect_refusal(3, "nothing_failed");
}
