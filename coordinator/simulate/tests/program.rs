//! The program itself: the example traces, the same bytes every time, and what is refused.

use std::process::{Command, Output};

fn simulate(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_compute-share-simulate"));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.args(arguments).output().expect("it starts")
}

fn printed(arguments: &[&str]) -> String {
    let output = simulate(arguments);
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{problem}");
    String::from_utf8(output.stdout).expect("text")
}

#[track_caller]
fn refused(arguments: &[&str], code: i32, expect: &[&str]) {
    let output = simulate(arguments);
    let problem = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{problem}");
    for part in expect {
        assert!(problem.contains(part), "{problem}");
    }
}

#[test]
fn the_example_traces_are_simulated() {
    let swf = printed(&["--trace", "traces/tiny.swf"]);
    assert!(
        swf.starts_with("tiny.swf: 38 tasks, 34 jobs, 6 members, on 4x8:512GiB\n"),
        "{swf}"
    );
    for note in [
        "gangs that start together: 2",
        "tasks that these became: 6",
        "and end at that time: 1",
        "taken to know it: 1",
        "left out: 2",
        "gangs, of whatever size",
    ] {
        assert!(swf.contains(note), "{swf}");
    }
    let sacct = printed(&[
        "--trace",
        "traces/tiny.sacct",
        "--machines",
        "2x8:32GiB",
        "-o",
        "json",
    ]);
    let answer: serde_json::Value = serde_json::from_str(&sacct).expect("JSON");
    assert_eq!(
        answer["schedules"].as_array().map(Vec::len),
        Some(3),
        "{answer}"
    );
    assert_eq!(
        (&answer["jobs"], &answer["members"]),
        (&22.into(), &4.into()),
        "{answer}"
    );
    let names = ["ours", "FIFO", "EASY"];
    for (schedule, name) in answer["schedules"]
        .as_array()
        .into_iter()
        .flatten()
        .zip(names)
    {
        assert_eq!(schedule["schedule"], name);
        assert!(
            schedule["wait"]["p95"].is_number() && schedule["fairness"]["jain"].is_number(),
            "{schedule}"
        );
    }
}

#[test]
fn the_same_question_has_the_same_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let picture = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let ask = |seed: &str, svg: &str| {
        printed(&[
            "steady",
            "--machines",
            "2x4:16GiB",
            "--seed",
            seed,
            "--svg",
            svg,
        ])
    };
    let (one, two) = (ask("5", &picture("one.svg")), ask("5", &picture("two.svg")));
    assert_eq!(one, two);
    assert_ne!(one, ask("6", &picture("three.svg")));
    let read = |name: &str| std::fs::read(folder.path().join(name)).expect("it was drawn");
    assert_eq!(read("one.svg"), read("two.svg"));
    assert_ne!(read("one.svg"), read("three.svg"));
}

#[test]
fn what_cannot_be_simulated_is_refused() {
    refused(
        &["burtsy"],
        4,
        &[
            "error[not_found]: \"burtsy\" is not known",
            "Did you mean bursty?",
        ],
    );
    refused(
        &["--machines", "lots"],
        2,
        &[
            "error[bad_request]: \"lots\" is no pool",
            "--machines 20x16",
        ],
    );
    refused(
        &["--trace", "traces/none.swf"],
        1,
        &["error[io_error]", "none.swf"],
    );
    refused(
        &["--trace", "traces/tiny.sacct"],
        2,
        &["has no pool", "--machines"],
    );
    refused(
        &["--trace", "Cargo.toml", "--machines", "1x1:1GiB"],
        2,
        &["line 1 of \"Cargo.toml\"", "no column JobID"],
    );
    refused(
        &["bursty", "--trace", "traces/tiny.swf"],
        2,
        &["error[bad_request]", "cannot be used with"],
    );
    refused(
        &["--seed", "-o", "json"],
        2,
        &["{\"error\":{\"code\":\"bad_request\"", "--seed"],
    );
    refused(
        &["steady", "--days", "0", "-o", "json"],
        2,
        &["{\"error\":{\"code\":\"bad_request\""],
    );
}
