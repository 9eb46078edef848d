//! The story of the first ten minutes, end to end.

use std::fs;

use compute_share_tests::Org;

#[test]
fn a_job_runs_on_another_members_machine_and_its_results_come_back() {
    let org = Org::start();
    let bob = org.join("bob");
    let _agent = org.agent(&bob, "bob-workstation");

    let digits = org.folder().join("digits");
    fs::create_dir_all(digits.join("deep")).unwrap();
    fs::write(digits.join("train.csv"), "a,b\n1,2\n3,4\n").unwrap();
    fs::write(digits.join("deep/empty"), "").unwrap();
    org.alice
        .run(&[
            "dataset",
            "upload",
            digits.to_str().unwrap(),
            "--name",
            "digits",
        ])
        .expect_success();
    let dataset = org.alice.json(&["dataset", "show", "digits"]);
    assert_eq!(dataset["versions"][0]["version"], 1);
    assert_eq!(dataset["versions"][0]["files"], 2);

    fs::write(
        org.alice.here().join("train.sh"),
        "wc -l < /data/train.csv\necho note >&2\necho result > /output/model\nmkdir kept\necho x > kept/y\n",
    )
    .unwrap();
    let run = org.alice.run(&[
        "run",
        "--cpu",
        "0.5",
        "--memory",
        "64MiB",
        "--dataset",
        "digits:/data",
        "--output",
        "kept/",
        "--",
        "sh",
        "train.sh",
    ]);
    let run = run.expect_success();
    assert_eq!(run.stdout, "3\n");
    assert!(run.stderr.contains("note\n"), "{}", run.stderr);

    let results = org.folder().join("results");
    org.alice
        .run(&["job", "pull", "1", "--to", results.to_str().unwrap()])
        .expect_success();
    let model = find(&results, "model").expect("the model came back");
    assert_eq!(fs::read_to_string(model).unwrap(), "result\n");
    let kept = find(&results, "y").expect("the declared output came back");
    assert_eq!(fs::read_to_string(kept).unwrap(), "x\n");

    let job = org.alice.json(&["job", "show", "1"]);
    assert_eq!(job["summary"]["status"], "succeeded");
    assert_eq!(job["attempts"][0]["machine"], "bob-workstation");
    assert_eq!(job["attempts"][0]["outcome"]["reason"], "exited");

    // Members who did not submit it do not see it.
    bob.run(&["job", "show", "1"])
        .expect_refusal(4, "not_found");
}

#[test]
fn a_dataset_cannot_be_changed_from_a_job_and_comes_back_whole() {
    let org = Org::start();
    let _agent = org.agent(&org.alice, "box");
    let data = org.folder().join("data");
    fs::create_dir_all(&data).unwrap();
    let large: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(data.join("large"), &large).unwrap();
    fs::write(data.join("run.sh"), "#!/bin/sh\n").unwrap();
    org.alice
        .run(&["dataset", "upload", data.to_str().unwrap(), "--name", "d"])
        .expect_success();

    let write = "echo x > /data/new; rm /data/large; chmod 777 /data/large; touch /data/run.sh";
    let run = org.alice.run(&[
        "run",
        "--no-workdir",
        "--dataset",
        "d:/data",
        "--",
        "sh",
        "-c",
        write,
    ]);
    assert!(
        run.stderr.matches("Read-only file system").count() >= 3,
        "{}",
        run.stderr
    );

    let back = org.folder().join("back");
    org.alice
        .run(&["dataset", "download", "d@1", "--to", back.to_str().unwrap()])
        .expect_success();
    assert_eq!(fs::read(find(&back, "large").unwrap()).unwrap(), large);

    // The same content again is no new version; other content is the next.
    org.alice
        .run(&["dataset", "upload", data.to_str().unwrap(), "--name", "d"])
        .expect_success();
    assert_eq!(
        org.alice.json(&["dataset", "show", "d"])["versions"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    fs::write(data.join("more"), "more").unwrap();
    org.alice
        .run(&["dataset", "upload", data.to_str().unwrap(), "--name", "d"])
        .expect_success();
    assert_eq!(
        org.alice.json(&["dataset", "show", "d"])["versions"][1]["version"],
        2
    );
}

#[test]
fn an_array_runs_every_task_once_with_its_own_index() {
    let org = Org::start();
    let _agent = org.agent(&org.alice, "box");
    let script = "echo task $COMPUTE_SHARE_TASK_INDEX of $COMPUTE_SHARE_TASK_COUNT \
                  > /output/$COMPUTE_SHARE_TASK_INDEX";
    org.alice
        .run(&[
            "run",
            "--no-workdir",
            "--cpu",
            "0.25",
            "--memory",
            "32MiB",
            "--disk",
            "16MiB",
            "--array",
            "3-10%2",
            "--",
            "sh",
            "-c",
            script,
        ])
        .expect_success();
    let job = org.alice.json(&["job", "show", "1"]);
    assert_eq!(job["summary"]["tasks"]["succeeded"], 8);
    let results = org.folder().join("results");
    org.alice
        .run(&["job", "pull", "1", "--to", results.to_str().unwrap()])
        .expect_success();
    for task in 3..=10 {
        let file = find(&results, &task.to_string());
        let found = file
            .filter(|path| path.is_file())
            .or_else(|| find_file(&results, &task.to_string()));
        assert_eq!(
            fs::read_to_string(found.expect("every task left a file")).unwrap(),
            format!("task {task} of 8\n")
        );
    }
}

fn find(folder: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    search(folder, &|path| path.file_name().is_some_and(|n| n == name))
}

fn find_file(folder: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    search(folder, &|path| {
        path.is_file() && path.file_name().is_some_and(|n| n == name)
    })
}

fn search(
    folder: &std::path::Path,
    wanted: &dyn Fn(&std::path::Path) -> bool,
) -> Option<std::path::PathBuf> {
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if wanted(&path) {
            return Some(path);
        }
        if path.is_dir()
            && let Some(found) = search(&path, wanted)
        {
            return Some(found);
        }
    }
    None
}
