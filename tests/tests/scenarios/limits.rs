//! Limits per compute resource type, of an org and of one member, on GPUs of a driver that is played.

use compute_share_tests::{Graphics, Org, Person, until};

/// As the product shows it.
const EXAMPLE: &str = "\
organization:
  limits:
    max_machines_per_user: 10
    max_concurrent_jobs_per_user: 20
    max_queued_jobs_per_user: 10000
    max_job_runtime: 86400        # seconds, or 24h
    max_job_memory: 65536         # MB, or 64GiB
    concurrent: {gpu: 16, rtx-5090: 4, cpu: 512}      # the whole org, per compute resource type
    per_user:   {gpu: 2, rtx-5090: 1}                 # every member unless set singly
    storage: {datasets: 2TiB, artifacts: 500GiB}
";

fn submit(person: &Person, flags: &[&str]) -> String {
    let all = [
        &["submit", "--no-workdir", "--memory", "64MiB"],
        flags,
        &["--", "sleep", "1000"],
    ]
    .concat();
    person.json(&all)["number"].to_string()
}

/// Returns the value and the use of a limit, as `2 of 1`.
fn bound(limits: &serde_json::Value, limit: &str) -> Option<String> {
    let bounds = limits["bounds"].as_array()?;
    let bound = bounds.iter().find(|bound| bound["limit"] == limit)?;
    let (value, used) = (&bound["value"]["count"], &bound["in_use"]["count"]);
    Some(format!("{used} of {value}"))
}

#[test]
fn a_member_gets_the_gpus_that_the_limits_leave_and_lowering_ends_nothing() {
    let org = Org::start();
    let bob = org.join("bob");
    let mut carol = org.join("carol");
    let _graphics = Graphics::of(&mut carol);
    let _agent = org.agent(&carol, "box");
    let file = org.folder().join("limits.yaml");
    let path = file.to_str().unwrap();
    let write = |text: &str| std::fs::write(&file, text).unwrap();

    // Wrong files change nothing, and each says what is wrong with it.
    let before = org.alice.json(&["org", "limits"]);
    for (wrong, right, code, named) in [
        (
            "    per_usr:",
            "    per_user:",
            "unknown_key",
            "did you mean `per_user`?",
        ),
        ("{gup: 2", "{gpu: 2", "unknown_key", "did you mean `gpu`?"),
        ("{gpu: -2", "{gpu: 2", "negative_number", "-2 is negative"),
        (
            "{gpu: 99999999999999999999",
            "{gpu: 2",
            "number_too_large",
            "larger than any limit",
        ),
        ("2 fortnights", "2TiB", "bad_unit", "is not a size"),
    ] {
        let wrong = EXAMPLE.replace(right, wrong);
        assert_ne!(wrong, EXAMPLE);
        write(&wrong);
        org.alice
            .run(&["org", "limits", "apply", path])
            .expect_refusal(2, code)
            .names(named);
    }
    assert_eq!(org.alice.json(&["org", "limits"]), before);

    write(EXAMPLE);
    let diff = org.alice.json(&["org", "limits", "diff", path]);
    assert_eq!(diff["changes"].as_array().unwrap().len(), 12, "{diff}");
    assert_eq!(diff["unknown_models"][0], "rtx-5090");
    let applied = org.alice.json(&["org", "limits", "apply", path]);
    assert_eq!(applied["limits"]["per_user"]["rtx-5090"], 1);
    bob.run(&["member", "set-limit", "bob", "gpu=8"])
        .expect_refusal(3, "permission_denied");

    // One GPU of the two that there are.
    org.alice
        .run(&["member", "set-limit", "bob", "gpu=1"])
        .expect_success();
    let job = submit(&bob, &["--gpu", "1", "--array", "0-1"]);
    until("one task to run", || {
        let job = bob.try_json(&["job", "show", &job])?;
        (job["summary"]["tasks"]["running"] == 1).then_some(())
    });
    let why = bob.json(&["job", "why", &job]);
    let blocker = &why["blockers"][0];
    assert_eq!(blocker["code"], "member_resource_limit", "{why}");
    assert!(
        blocker["text"].to_string().contains("set for bob by alice"),
        "{why}"
    );
    org.alice
        .run(&["member", "set-limit", "bob", "gpu=none"])
        .expect_success();
    until("both tasks to run", || {
        let job = bob.try_json(&["job", "show", &job])?;
        (job["summary"]["tasks"]["running"] == 2).then_some(())
    });

    // Lowered, nothing ends, and nothing more starts.
    org.alice
        .run(&["member", "set-limit", "bob", "h200=0", "gpu=1"])
        .expect_success();
    let limits = bob.json(&["member", "limits"]);
    assert_eq!(bound(&limits, "per_user.gpu").unwrap(), "2 of 1");
    assert_eq!(bound(&limits, "per_user.h200").unwrap(), "1 of 0");
    assert_eq!(bound(&limits, "concurrent.gpu").unwrap(), "2 of 16");
    assert_eq!(bob.job_status(&job).unwrap(), "running");
    bob.run(&["submit", "--no-workdir", "--gpu", "h200:2", "--", "true"])
        .expect_refusal(3, "limit_reached")
        .names("per_user.h200 is 0 set for bob by alice");
    let carols = submit(&carol, &["--gpu", "1"]);
    bob.run(&["job", "cancel", &job, "--yes"]).expect_success();
    until("carol's to run", || {
        (carol.job_status(&carols)? == "running").then_some(())
    });
    until("nothing of bob's to be counted", || {
        let limits = bob.try_json(&["member", "limits"])?;
        (bound(&limits, "per_user.gpu")? == "0 of 1").then_some(())
    });
}
