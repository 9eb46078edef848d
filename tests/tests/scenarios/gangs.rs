//! Gangs: a job on several machines at once, whose tasks start and end together; and jobs that ask for machines by what
//! is said of them.

use compute_share_tests::{Org, until};

const QUIET: [&str; 3] = ["--no-workdir", "--memory", "64MiB"];

fn words<'a>(command: &'a str, flags: &[&'a str], program: &'a str) -> Vec<&'a str> {
    let program = ["--", "sh", "-c", program];
    [&[command], &QUIET[..], flags, &program].concat()
}

#[test]
fn two_machines_run_one_job_and_end_it_together() {
    let org = Org::start();
    let bob = org.join("bob");
    let _first = org.agent(&org.alice, "box");
    let _second = org.agent(&bob, "other");
    let script = "echo $COMPUTE_SHARE_NODE_RANK of $COMPUTE_SHARE_NODE_COUNT on $COMPUTE_SHARE_NODE_NAMES \
                  here $COMPUTE_SHARE_MACHINE > /output/who";
    org.alice
        .run(&words("run", &["--nodes", "2"], script))
        .expect_success();
    let folder = org.folder().join("pulled");
    let folder = folder.to_str().unwrap();
    until("both outputs to be here", || {
        org.alice
            .run(&["job", "pull", "1", "--to", folder])
            .succeeded()
    });
    let read = |rank: &str| {
        let path = format!("{folder}/{rank}/who");
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    };
    let (zero, one) = (read("0"), read("1"));
    let names = ["box,other", "other,box"];
    let names = names.iter().find(|names| zero.contains(**names)).unwrap();
    let (first, second) = names.split_once(',').unwrap();
    assert_eq!(zero, format!("0 of 2 on {names} here {first}"));
    assert_eq!(one, format!("1 of 2 on {names} here {second}"));

    // One fails: the other is ended, and the job has failed.
    let script = "test $COMPUTE_SHARE_NODE_RANK = 0 && sleep 600; exit 3";
    let run = org.alice.run(&words("run", &["--nodes", "2"], script));
    assert_ne!(run.code, Some(0), "{}", run.stderr);
    let shown = org.alice.json(&["job", "show", "2"]);
    let reasons: Vec<&str> = [0, 1]
        .map(|rank| {
            shown["attempts"][rank]["outcome"]["reason"]
                .as_str()
                .unwrap()
        })
        .to_vec();
    assert_eq!(reasons, ["peer_ended", "exited"], "{shown}");
    assert_eq!(org.alice.job_status("2").as_deref(), Some("failed"));

    // More than there are is refused, and says so.
    org.alice
        .run(&words("submit", &["--nodes", "3"], "true"))
        .expect_refusal(3, "never_fits")
        .names("2 of 3 machines have room");
}

#[test]
fn a_job_goes_where_an_admin_says_what_it_wants() {
    let org = Org::start();
    let bob = org.join("bob");
    let _first = org.agent(&org.alice, "box");
    let _second = org.agent(&bob, "other");
    org.alice
        .run(&words("submit", &["--label", "zone=a"], "true"))
        .expect_refusal(3, "never_fits")
        .names("asks for label zone=a");
    bob.run(&["machine", "label", "other", "zone=a"])
        .expect_refusal(3, "permission_denied");
    org.alice
        .run(&["machine", "label", "other", "zone=a", "ssd"])
        .expect_success();
    let shown = bob.run(&["machine", "show", "other"]).expect_success();
    assert!(
        shown.stdout.contains("ssd, zone=a, by an admin"),
        "{}",
        shown.stdout
    );
    let flags = ["--label", "zone=a", "--label", "!slow", "--exclusive"];
    let run = org
        .alice
        .run(&words("run", &flags, "echo $COMPUTE_SHARE_MACHINE"))
        .expect_success();
    assert_eq!(run.stdout.trim(), "other");
    let shown = org.alice.run(&["job", "show", "1"]).expect_success();
    for expect in ["zone=a, !slow", "a machine to itself"] {
        assert!(shown.stdout.contains(expect), "{}", shown.stdout);
    }
}
