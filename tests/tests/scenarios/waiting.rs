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
    org.coordinator.restart();
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
