use common::resources::GpuRequest;

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
network: internet
isolation: strong
priority: high
max_runtime: 2h
retries: {max: 2, on: [machine_lost, preempted]}
array: 0-99%10
each: params.jsonl%4
after: [40, '41:failed']
hold: true
labels: [ssd, zone=a, '!slow']
exclusive: true
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
            memory_most: None,
        }),
        exclusive: true,
    };
    assert_eq!(draft.request, expect);
    assert_eq!(draft.datasets[0].path(), "/data/digits");
    assert_eq!(draft.outputs, ["results/"]);
    assert_eq!(draft.image, Some(Image::Host));
    assert_eq!(draft.network, Some(Network::Internet));
    assert_eq!(draft.isolation, Some(MinIsolation::Strong));
    assert_eq!(draft.priority, Some(Priority::High));
    assert_eq!(draft.max_runtime, Some(Span::from_secs(7200)));
    let retries = draft.retries.as_ref().unwrap();
    assert_eq!((retries.max, retries.on.len()), (2, 2));
    assert_eq!(draft.array.unwrap().to_string(), "0-99%10");
    assert_eq!(draft.each, Some("params.jsonl%4".parse().unwrap()));
    let after: Vec<String> = draft.after.iter().map(After::to_string).collect();
    assert_eq!(after, ["40:succeeded", "41:failed"]);
    assert!(draft.hold);
    let labels: Vec<String> = draft.labels.iter().map(WantedLabel::to_string).collect();
    assert_eq!(labels, ["ssd", "zone=a", "!slow"]);
}

#[test]
fn a_dataset_can_be_mounted_lazily_in_both_ways_of_writing() {
    for datasets in [
        "[\"digits@3:/data:lazy\"]",
        "[{dataset: digits@3, path: /data, lazy: true}]",
    ] {
        let draft = parse(&format!("command: x\ndatasets: {datasets}")).unwrap();
        let [Mount::Dataset(mount)] = draft.datasets.as_slice() else {
            panic!("one dataset: {datasets}");
        };
        assert!(mount.lazy && mount.path == "/data", "{datasets}");
    }
    refused(
        "datasets: [{dataset: digits, path: /data, lasy: true}]",
        "`datasets.lasy`",
    );
    refused("datasets: [{dataset: digits}]", "absolute");
    refused("datasets: [3]", "expected a list of mounts");
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
fn a_gang_says_on_how_many_machines_it_runs() {
    assert_eq!(parse("nodes: 4").unwrap().nodes, Some(4));
    assert_eq!(parse("command: x").unwrap().nodes, None);
    refused("nodes: -1", "`nodes`");
    refused("nodes: two", "`nodes`");
}

#[test]
fn bad_values_name_their_key_and_what_would_do() {
    refused(
        "resources: {memory: 16 bananas}",
        "`resources.memory`: \"16 bananas\" is not a size",
    );
    refused("labels: [Fast]", "`labels`: \"Fast\" is not a label");
    refused("resources: {cpu: -1}", "`resources.cpu`");
    refused("resources: {gpu: 0}", "`resources.gpu`");
    refused("resources: {gpu: {count: 0}}", "`resources.gpu.count`");
    refused("resources: 4", "`resources`: expected keys and values");
    refused("max_runtime: soon", "is not a time span");
    refused("array: 9-1", "`array`");
    refused("array: 5-", "an array looks like");
    refused("array: 0-9,5", "index 5 is there twice");
    refused("array: NaN", "`array`");
    refused("array: .nan", "non-finite");
    refused("array: 99999999999", "too large");
    refused("each: ''", "`each`: name a file");
    refused("each: p.jsonl%0", "%0 is no count of tasks at once");
    refused("each: '-'", "`each`: a file names a file; `--each -` reads");
    refused(
        "priority: urgent",
        "\"urgent\" is not one of low, normal, high",
    );
    refused("datasets: [digits]", "the path is missing");
    refused("datasets: digits:/d", "expected a list");
    refused("retries: {on: [tired]}", "\"tired\" is not one of");
    for after in [
        "[NaN]",
        "[1.5]",
        "[-1]",
        "[0]",
        "['1:soon']",
        "[1e99]",
        "41",
    ] {
        refused(&format!("after: {after}"), "`after`");
    }
    refused("hold: maybe", "`hold`: expected true or false");
    refused("retries: {memory: 2}", "");
    refused("retries: {memory: 1x}", "\"1x\" is not a factor of memory");
    refused("env: {V: 1.10}", "write it in quotes");
    refused("env: {V: [1]}", "`env.V`");
    refused(
        "env: {A=B: 1}",
        "`env.A=B`: the name of a variable cannot have a `=`",
    );
    refused("env: {'': 1}", "a variable needs a name");
    refused(
        "env: {A: \"x\\0y\"}",
        "`env.A`: a variable cannot have a NUL",
    );
    refused("env: {\"A\\0\": x}", "cannot have a NUL");
    refused("image: Python", "`image`: \"Python\" is not an image");
    refused("image: imported:a/b", "`image`");
    refused("network: lan", "\"lan\" is not one of none, internet, full");
    refused("isolation: d", "\"d\" is not one of c, b, a, strong");
    refused(
        "resources: {gpu: {share: maybe}}",
        "`resources.gpu.share`: expected true or false",
    );
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

#[test]
fn every_kind_of_image_can_be_named() {
    for (text, expect) in [
        ("host", "host"),
        ("python:3.12", "docker.io/library/python:3.12"),
        ("registry.lab:5000/train", "registry.lab:5000/train:latest"),
        ("imported:mine@2", "imported:mine@2"),
    ] {
        let draft = parse(&format!("image: {text}\ncommand: [x]")).unwrap();
        assert_eq!(draft.into_spec(None).unwrap().image.to_string(), expect);
    }
    let nothing_said = parse("command: [x]").unwrap();
    assert_eq!(nothing_said.into_spec(None).unwrap().image, Image::Host);
}

#[test]
fn a_share_of_a_gpu_says_how_large_it_is() {
    let spec = |gpu: &str| {
        let text = format!("command: [x]\nresources: {{gpu: {{{gpu}}}}}");
        parse(&text).unwrap().into_spec(None)
    };
    for unsized_share in ["share: true", "share: true, memory: 0"] {
        let problem = spec(unsized_share).unwrap_err();
        assert_eq!(problem.code, Code::BadJobFile, "{unsized_share}");
        assert!(problem.help.contains("--gpu-memory"), "{problem:?}");
    }
    let gpu = spec("share: true, memory: 8GiB, count: 2")
        .unwrap()
        .request
        .gpu
        .unwrap();
    assert_eq!((gpu.shared_memory(), gpu.count), (Some(Bytes::gib(8)), 2));
    for whole in [
        "memory: 8GiB, share: false",
        "memory: 8GiB, count: 1",
        "memory: 8GiB..16GiB",
        "model: h200",
    ] {
        let gpu = spec(whole).unwrap().request.gpu.unwrap();
        assert_eq!(gpu.shared_memory(), None, "{whole}");
    }
    let alone = spec("memory: 8GiB").unwrap().request.gpu.unwrap();
    assert_eq!(
        (alone.shared_memory(), alone.count),
        (Some(Bytes::gib(8)), 1)
    );
}

#[test]
fn memory_of_a_gpu_is_a_least_a_most_or_both() {
    let read = |memory: &str| {
        let text = format!("resources: {{gpu: {{count: 1, memory: {memory}}}}}");
        let gpu = parse(&text).unwrap().request.gpu.unwrap();
        (gpu.memory, gpu.memory_most)
    };
    let gib = |gib| Some(Bytes::gib(gib));
    assert_eq!(read("20GiB"), (gib(20), None));
    assert_eq!(read("20GiB.."), (gib(20), None));
    assert_eq!(read("20GiB..40GiB"), (gib(20), gib(40)));
    assert_eq!(read("..40GiB"), (None, gib(40)));
    for (bad, expect) in [
        (
            "40GiB..20GiB",
            "from 40 GiB to 20 GiB ends before it begins",
        ),
        ("'..'", "a range of memory has an end"),
        ("20GiB...40GiB", "is not a size"),
        ("lots", "is not a size"),
    ] {
        let text = format!("resources: {{gpu: {{memory: {bad}}}}}");
        refused(&text, "`resources.gpu.memory`");
        refused(&text, expect);
    }
}

#[test]
fn an_argument_cannot_end_early() {
    let draft = parse("command: [echo, \"a\\0b\"]").unwrap();
    assert_eq!(draft.into_spec(None).unwrap_err().code, Code::BadJobFile);
}

#[test]
fn a_job_says_where_it_belongs_and_which_secrets_it_uses() {
    let draft = parse("project: vision\nsecrets: [HF_TOKEN, AWS_KEY, HF_TOKEN]").unwrap();
    assert_eq!(draft.project.unwrap().as_str(), "vision");
    let names: Vec<String> = draft.secrets.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["AWS_KEY", "HF_TOKEN"]);
    let seen = parse("visibility: org_read").unwrap().visibility;
    assert_eq!(seen, Some(Visibility::OrgRead));
    refused("project: Vision!", "`project`");
    refused("visibility: all", "\"all\" is not one of personal");
    refused("secrets: [1A]", "cannot begin with a digit");
    refused("secrets: ['A-B']", "'-' cannot be in a secret's name");
    refused(
        "secrets: [COMPUTE_SHARE_JOB_ID]",
        "set by Compute Share itself",
    );
    refused("secrets: HF_TOKEN", "expected a list");
}
