use super::*;

#[track_caller]
fn refused(text: &str, expect: &str) {
    let error = parse(text).expect_err(text).to_string();
    assert!(error.contains(expect), "{text:?} gave {error:?}");
}

#[test]
fn a_whole_file_is_read() {
    let draft = parse(
        "
name: train-digits
image: host
command: [python3, train.py, 7]
workdir: .
env: {EPOCHS: \"3\", SEED: 7, DEBUG: true}
resources: {cpu: 4, memory: 16GiB, disk: 20480, gpu: {count: 2, model: RTX-4090, memory: 20GiB}}
datasets: [\"digits@3:/data/digits\"]
outputs: [results/]
network: none
priority: high
max_runtime: 2h
retries: {max: 2, on: [machine_lost, preempted]}
array: 0-99%10
",
    )
    .unwrap();
    assert_eq!(draft.name.as_deref(), Some("train-digits"));
    assert_eq!(draft.command, ["python3", "train.py", "7"]);
    let env: Vec<_> = draft.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(env, ["DEBUG=true", "EPOCHS=3", "SEED=7"]);
    let expect = Request {
        cpu: MilliCpu::cpus(4),
        memory: Bytes::gib(16),
        disk: Bytes::gib(20),
        gpu: Some(GpuRequest {
            count: 2,
            model: Some("rtx-4090".to_owned()),
            memory: Some(Bytes::gib(20)),
            share: false,
        }),
    };
    assert_eq!(draft.request, expect);
    assert_eq!(draft.datasets[0].path, "/data/digits");
    assert_eq!(draft.outputs, ["results/"]);
    assert_eq!(draft.priority, Some(Priority::High));
    assert_eq!(draft.max_runtime, Some(Span::from_secs(7200)));
    let retries = draft.retries.as_ref().unwrap();
    assert_eq!((retries.max, retries.on.len()), (2, 2));
    assert_eq!(draft.array.unwrap().to_string(), "0-99%10");
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    refused("comand: x", "unknown key `comand`; did you mean `command`?");
    refused("Name: x", "did you mean `name`?");
    refused("dataset: []", "did you mean `datasets`?");
    refused("max_run_time: 1h", "did you mean `max_runtime`?");
    refused(
        "resources: {memry: 1}",
        "`resources.memry`; did you mean `memory`?",
    );
    refused(
        "resources: {gpu: {model: x, cuont: 1}}",
        "`resources.gpu.cuont`",
    );
    refused(
        "retries: {maximum: 1}",
        "`retries.maximum`; did you mean `max`?",
    );
    let error = parse("zebra_crossing: 1").unwrap_err().to_string();
    assert_eq!(error, "unknown key `zebra_crossing`");
}

#[test]
fn what_is_not_built_yet_is_refused_not_ignored() {
    for text in [
        "project: vision",
        "secrets: [HF_TOKEN]",
        "after: [\"41:succeeded\"]",
        "nodes: 2",
        "image: python:3.12",
        "network: internet",
    ] {
        refused(text, "not available in this version");
    }
}

#[test]
fn bad_values_name_their_key_and_what_would_do() {
    refused(
        "resources: {memory: 16 bananas}",
        "`resources.memory`: \"16 bananas\" is not a size",
    );
    refused("resources: {cpu: -1}", "`resources.cpu`");
    refused("resources: {gpu: 0}", "`resources.gpu`");
    refused("resources: {gpu: {count: 0}}", "`resources.gpu.count`");
    refused("resources: 4", "`resources`: expected keys and values");
    refused("max_runtime: soon", "is not a time span");
    refused("array: 9-1", "`array`");
    refused("array: 5", "an array looks like");
    refused(
        "priority: urgent",
        "\"urgent\" is not one of low, normal, high",
    );
    refused("datasets: [digits]", "the path is missing");
    refused("datasets: digits:/d", "expected a list");
    refused("retries: {on: [tired]}", "\"tired\" is not one of");
    refused("env: {V: 1.10}", "write it in quotes");
    refused("env: {V: [1]}", "`env.V`");
    refused("command: {a: b}", "expected a list");
    refused("- a\n- b", "expected keys and values");
    refused("name: [", "");
    refused("name: a\nname: b", "");
}

#[test]
fn short_forms_mean_the_long_ones() {
    #[track_caller]
    fn gpu(text: &str, model: Option<&str>, count: u32) {
        let draft = parse(&format!("resources: {{gpu: {text}}}")).unwrap();
        let gpu = draft.request.gpu.unwrap();
        assert_eq!((gpu.model.as_deref(), gpu.count), (model, count), "{text}");
    }
    gpu("2", None, 2);
    gpu("rtx-4090:1", Some("rtx-4090"), 1);
    gpu("H200", Some("h200"), 1);
    refused("resources: {gpu: 'rtx-4090:x'}", "does not say which GPUs");
    refused("resources: {gpu: ':1'}", "does not say which GPUs");
    assert_eq!(
        parse("command: echo $HOME").unwrap().command,
        ["sh", "-c", "echo $HOME"]
    );
    assert_eq!(parse("retries: 5").unwrap().retries.unwrap().max, 5);
    assert_eq!(parse("").unwrap(), Draft::default());
    assert_eq!(
        parse("resources: {memory: 512}").unwrap().request.memory,
        Bytes::mib(512)
    );
    assert_eq!(
        parse("resources: {cpu: 0.5}").unwrap().request.cpu,
        MilliCpu(500)
    );
}

#[test]
fn the_workdir_counts_from_the_files_own_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("job.yaml");
    std::fs::write(&path, "workdir: code\ncommand: [x]").unwrap();
    assert_eq!(
        load(&path).unwrap().workdir,
        Some(folder.path().join("code"))
    );
    let missing = load(&folder.path().join("none.yaml")).unwrap_err();
    assert_eq!(missing.code, Code::BadJobFile);
    assert!(missing.what.contains("none.yaml"));
}

#[test]
fn a_job_needs_a_command_and_takes_its_name_from_it() {
    let problem = Draft::default().into_spec(None).unwrap_err();
    assert!(problem.help.contains("after `--`"), "{problem:?}");
    let draft = Draft {
        command: vec!["/usr/bin/true".to_owned()],
        ..Draft::default()
    };
    assert_eq!(draft.into_spec(None).unwrap().name, "true");
}
