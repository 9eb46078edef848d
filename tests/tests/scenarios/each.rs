//! Arrays with a line of parameters for each task.

use std::fs;

use compute_share_tests::Org;

const SMALL: [&str; 7] = [
    "--no-workdir",
    "--cpu",
    "0.25",
    "--memory",
    "32MiB",
    "--disk",
    "16MiB",
];

#[test]
fn each_line_of_a_file_is_a_task() {
    let org = Org::start();
    let _agent = org.agent(&org.alice, "box");
    let file = org.folder().join("params.jsonl");
    let lines: Vec<String> = (0..5)
        .map(|task| format!("{{\"lr\": 0.{task}0, \"name\": \"n {{lr}} {task}\"}}"))
        .collect();
    fs::write(&file, lines.join("\n")).unwrap();
    let each = format!("{}%3", file.display());
    let script = "printf '%s|' \"$@\" \"$COMPUTE_SHARE_PARAMS\"; \
                  test $COMPUTE_SHARE_TASK_INDEX != 3";
    let words = [
        "--",
        "sh",
        "-c",
        script,
        "sh",
        "--lr={lr}",
        "{name}",
        "{print}",
    ];
    let run = |options: &[&str]| org.alice.run(&[options, &SMALL, &words].concat());

    // The question sends nothing, and a line that is of no use is found by it too.
    let asked = run(&["submit", "--dry-run", "--each", &each]);
    asked.expect_success();
    assert_eq!(org.alice.json(&["ps", "--all"]), serde_json::json!([]));
    let bad = org.folder().join("bad.jsonl");
    fs::write(&bad, "{\"lr\": 1, \"name\": 2}\n{\"lr\": 1}\n").unwrap();
    let bad = bad.to_str().unwrap();
    for command in [&["submit"][..], &["run"], &["submit", "--dry-run"]] {
        run(&[command, &["--each", bad]].concat())
            .expect_refusal(2, "bad_params")
            .names("line 2 has no \"name\"");
    }
    run(&["submit", "--each", &each, "--array", "0-5"])
        .expect_refusal(2, "bad_params")
        .names("task 5 would be line 6");
    assert_eq!(org.alice.json(&["ps", "--all"]), serde_json::json!([]));

    let ended = run(&["run", "--each", &each]);
    assert_eq!(ended.code, Some(1), "task 3 fails: {}", ended.stderr);
    let told = |job: &str, task: usize| {
        let log = org.alice.run(&["logs", &format!("{job}.{task}")]);
        let expect = format!("--lr=0.{task}0|n {{lr}} {task}|{{print}}|{}|", lines[task]);
        assert_eq!(log.expect_success().stdout.trim_end(), expect);
    };
    (0..5).for_each(|task| told("1", task));
    let shown = org.alice.json(&["job", "show", "1"]);
    assert_eq!(shown["summary"]["tasks"]["succeeded"], 4);
    assert_eq!(shown["spec"]["array"]["parallel"], 3);
    assert_eq!(shown["spec"]["command"][4], "--lr={lr}", "as submitted");

    // The same line once more, on a machine that may have forgotten it.
    let again = org.alice.run(&["job", "rerun", "1", "--failed"]);
    again.expect_success();
    let status = || {
        org.alice
            .job_status("2")
            .filter(|status| status == "failed")
    };
    compute_share_tests::until("task 3 to have run again", status);
    told("2", 3);
    let shown = org.alice.json(&["job", "show", "2"]);
    assert_eq!(shown["summary"]["tasks"]["failed"], 1);

    // From a job file, a graph, and the standard input.
    let job = org.folder().join("job.yaml");
    let text = "command: [echo, '{name}']\neach: params.jsonl\narray: '1-2'\n";
    fs::write(&job, text).unwrap();
    let job = job.to_str().unwrap();
    let flags = ["run", job, "--no-workdir"];
    let ran = org.alice.run(&[&flags[..], &SMALL[1..]].concat());
    ran.expect_success();
    let log = org.alice.run(&["logs", "3.2"]).expect_success();
    assert_eq!(log.stdout, "n {lr} 2\n");
    let graph = org.folder().join("graph.yaml");
    let small = "resources: {cpu: 0.25, memory: 32MiB, disk: 16MiB}";
    let text = format!(
        "defaults: {{{small}, each: params.jsonl}}\njobs:\n  a: {{command: [echo, '{{lr}}']}}\n  \
         b: {{command: [echo, '{{name}}'], array: '4', after: [a]}}\n"
    );
    fs::write(&graph, text).unwrap();
    let graph = graph.to_str().unwrap();
    org.alice
        .run(&["submit", graph, "--no-workdir"])
        .expect_success();
    let done = || {
        org.alice
            .job_status("5")
            .filter(|status| status == "succeeded")
    };
    compute_share_tests::until("the graph to be done", done);
    let log = org.alice.run(&["logs", "5.4"]).expect_success();
    assert_eq!(log.stdout, "n {lr} 4\n");
    let words = [&["run", "--each", "-"], &SMALL[..], &["--", "echo", "{lr}"]].concat();
    let ran = org.alice.run_told(&words, "{\"lr\": 1e-3}\n");
    assert!(ran.stdout.contains("1e-3"), "{}", ran.stdout);
}
