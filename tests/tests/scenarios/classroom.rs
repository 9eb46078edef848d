//! A class: thirty students join by one link, each uses one GPU and sees only their own jobs, all read the teacher's
//! data, and one of them is removed in mid-job.

use std::fs;

use compute_share_tests::{Graphics, Org, Person, until};

const STUDENTS: usize = 30;

const LIMITS: &str = "organization:\n  limits:\n    per_user: {gpu: 1}\n";

/// Soon heard of, whatever happens on a machine.
const QUICK: &str = "lease = \"6s\"\nheartbeat = \"500ms\"";

fn submit(student: &Person, script: &str) -> String {
    let small = [
        "submit",
        "--no-workdir",
        "--cpu",
        "0.1",
        "--memory",
        "64MiB",
    ];
    let data = [
        "--gpu",
        "1",
        "--dataset",
        "digits:/data",
        "--",
        "sh",
        "-c",
        script,
    ];
    student.json(&[&small[..], &data[..]].concat())["number"].to_string()
}

fn wait_for(person: &Person, job: &str, status: &str) {
    until(&format!("job {job} to be {status}"), || {
        (person.job_status(job)? == status).then_some(())
    });
}

#[test]
fn a_class_shares_a_machine_by_the_teachers_rules() {
    let mut org = Org::start_with(QUICK);
    // The teacher is alice, whose machine has two GPUs.
    let _graphics = Graphics::of(&mut org.alice);
    let teacher = org.alice.clone();
    let _agent = org.agent(&teacher, "lab-box");
    let limits = org.folder().join("limits.yaml");
    fs::write(&limits, LIMITS).unwrap();
    let limits = limits.to_str().unwrap();
    teacher
        .run(&["org", "limits", "apply", limits, "--yes"])
        .expect_success();
    let digits = org.folder().join("digits");
    fs::create_dir(&digits).unwrap();
    fs::write(digits.join("train.csv"), "1,2\n").unwrap();
    let upload = [
        "dataset",
        "upload",
        digits.to_str().unwrap(),
        "--name",
        "digits",
    ];
    teacher
        .run(&[&upload[..], &["--visibility", "org_read"]].concat())
        .expect_success();

    // One link for all of them, and for nobody else.
    let uses = STUDENTS.to_string();
    let invited = teacher.json(&["invite", "create", "--uses", &uses]);
    let link = invited[0]["link"].as_str().unwrap();
    let students: Vec<Person> = (1..=STUDENTS)
        .map(|number| org.stranger(&format!("student{number:02}")))
        .collect();
    for student in &students {
        let join = ["join", link, "--handle", &student.handle];
        student.run(&join).expect_success();
    }
    org.stranger("late")
        .run(&["join", link, "--handle", "late"])
        .expect_refusal(3, "code_used");
    let members = teacher.json(&["member", "list"]);
    assert_eq!(members.as_array().unwrap().len(), STUDENTS + 1);

    // One GPU each, though two are free: the second job of the first waits, and that of another starts.
    let [first, second, third] = &students[..3] else {
        panic!("too few students");
    };
    let busy = "cat /data/train.csv; exec sleep 600";
    let held = submit(first, busy);
    wait_for(first, &held, "running");
    let waits = submit(first, busy);
    let others = submit(second, busy);
    wait_for(second, &others, "running");
    assert_eq!(first.job_status(&waits).unwrap(), "queued");
    let why = first.run(&["job", "why", &waits]).expect_success();
    assert!(why.stdout.contains("per_user"), "{why:?}");

    // Only their own jobs are there; the teacher sees all of them.
    let numbers = |person: &Person| -> Vec<String> {
        let jobs = person.json(&["ps"]);
        let jobs = jobs.as_array().unwrap().iter();
        jobs.map(|job| job["number"].to_string()).collect()
    };
    assert_eq!(numbers(second), [others.as_str()]);
    for command in [
        ["job", "show", &held],
        ["job", "logs", &held],
        ["job", "why", &held],
    ] {
        second.run(&command).expect_refusal(4, "not_found");
    }
    assert_eq!(numbers(&teacher).len(), 3);

    // The data is read and not changed.
    until("the data to be read", || {
        let log = second.run(&["job", "logs", &others]).stdout;
        (log == "1,2\n").then_some(())
    });
    let changed = first.here().join("changed");
    fs::create_dir(&changed).unwrap();
    fs::write(changed.join("train.csv"), "3,4\n").unwrap();
    first
        .run(&[
            "dataset",
            "upload",
            changed.to_str().unwrap(),
            "--name",
            "digits",
        ])
        .expect_refusal(3, "permission_denied");
    let shown = teacher.json(&["dataset", "show", "digits"]);
    assert_eq!(shown["versions"].as_array().unwrap().len(), 1);

    // A third waits for a GPU, and has it as soon as the first is removed in mid-job.
    let next = submit(third, "cat /data/train.csv");
    assert_eq!(third.job_status(&next).unwrap(), "queued");
    let remove = ["member", "remove", &first.handle];
    let preview = teacher
        .run(&[&remove[..], &["--dry-run"]].concat())
        .expect_success();
    assert!(preview.stdout.contains(&held), "{preview:?}");
    assert_eq!(first.job_status(&held).unwrap(), "running", "only a look");
    teacher
        .run(&[&remove[..], &["--yes"]].concat())
        .expect_success();
    for command in [
        &["ps"][..],
        &["whoami"],
        &["submit", "--no-workdir", "--", "true"],
    ] {
        first.run(command).expect_refusal(3, "certificate_revoked");
    }
    for ended in [&held, &waits] {
        wait_for(&teacher, ended, "cancelled");
    }
    wait_for(third, &next, "succeeded");
    assert_eq!(second.job_status(&others).unwrap(), "running", "untouched");

    // And it is on record.
    let audit = teacher.json(&["org", "audit", "--kind", "member"]);
    let newest = &audit[0];
    let told = ["event", "subject"].map(|key| newest[key].as_str().unwrap_or_default());
    assert_eq!(told, ["member_removed", first.handle.as_str()], "{newest}");
    assert_eq!(newest["actor"]["name"], "alice");
}
