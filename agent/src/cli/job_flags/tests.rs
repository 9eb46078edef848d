use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    flags: JobFlags,
}

fn flags(words: &[&str]) -> JobFlags {
    Line::try_parse_from([&["job"], words].concat())
        .unwrap()
        .flags
}

#[test]
fn of_a_graph_flags_say_only_what_is_about_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graph.yaml");
    std::fs::write(
        &path,
        "jobs: {a: {command: x, workdir: sub, each: p.jsonl}, b: {command: z}}",
    )
    .unwrap();
    let path = path.to_str().unwrap();
    let whole = flags(&[path, "--dry-run", "--no-workdir", "--idempotency-key", "k"]);
    let (graph, said) = whole.graph().unwrap().unwrap();
    assert!(said.dry_run && said.no_workdir && said.key == idempotency_key(Some("k")));
    let sub = folder.path().join("sub");
    assert_eq!(graph.jobs[0].draft.workdir, Some(sub), "beside the file");
    let lines = folder.path().join("p.jsonl");
    let lines = lines.to_str().unwrap().parse().unwrap();
    assert_eq!(graph.jobs[0].draft.each, Some(lines), "beside the file");
    for more in [["--cpu", "2"], ["--after", "41"], ["--each", "x"]] {
        let problem = flags(&[&[path], &more[..]].concat()).graph().unwrap_err();
        assert_eq!(problem.code, Code::BadRequest);
    }
    // Where one job is meant, a graph is not taken for it.
    let problem = flags(&[path]).read().unwrap_err();
    assert!(problem.to_string().contains("`submit` takes"), "{problem}");
    assert!(flags(&["--", "x"]).graph().unwrap().is_none());
}

#[test]
fn a_flag_wins_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("job.yaml");
    let text = "
name: from-file
command: [a]
env: {A: '1', B: '1'}
resources: {cpu: 4, memory: 2GiB, gpu: 1}
datasets: ['x@1:/data', 'y:/other']
outputs: [results]
priority: low
retries: {max: 1, on: [machine_lost]}
array: 0-9
";
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap();
    let kept = flags(&[path]).read().unwrap().draft;
    assert_eq!(
        (kept.name.as_deref(), kept.request.cpu),
        (Some("from-file"), MilliCpu::cpus(4))
    );
    let words = [
        path,
        "--name",
        "flag",
        "--cpu",
        "0.5",
        "--gpu",
        "h200:2",
        "--env",
        "B=2=3",
        "--dataset",
        "z@7:/data",
        "--output",
        "other",
        "--priority",
        "high",
        "--retries",
        "5",
        "--array",
        "0-1%1",
        "--label",
        "ssd",
        "--label",
        "!zone=a",
        "--max-runtime",
        "1h",
        "--",
        "b",
        "--flag",
    ];
    let draft = flags(&words).read().unwrap().draft;
    assert_eq!(draft.name.as_deref(), Some("flag"));
    assert_eq!(draft.command, ["b", "--flag"]);
    assert_eq!(
        (draft.request.cpu, draft.request.memory),
        (MilliCpu(500), Bytes::gib(2))
    );
    assert_eq!(draft.request.gpu.unwrap().model.as_deref(), Some("h200"));
    assert_eq!(
        (draft.env["A"].as_str(), draft.env["B"].as_str()),
        ("1", "2=3")
    );
    let mounts: Vec<String> = draft
        .datasets
        .iter()
        .map(|mount| match mount {
            Mount::Dataset(mount) => format!("{}:{}", mount.dataset, mount.path),
            Mount::Artifacts(mount) => format!("job:{}:{}", mount.job, mount.path),
        })
        .collect();
    assert_eq!(mounts, ["y:/other", "z@7:/data"]);
    assert_eq!(draft.outputs, ["other"]);
    assert_eq!(draft.priority, Some(Priority::High));
    let retries = draft.retries.unwrap();
    assert_eq!((retries.max, retries.on.len()), (5, 1));
    assert_eq!(draft.array.unwrap().to_string(), "0-1%1");
    assert_eq!(draft.max_runtime, Some(Span::from_secs(3600)));
    let labels: Vec<String> = draft.labels.iter().map(ToString::to_string).collect();
    assert_eq!(labels, ["ssd", "!zone=a"]);
}

#[test]
fn flags_say_when_and_how_a_task_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("job.yaml");
    let text = "retries: {max: 1, on: [exited], backoff: 30s, memory: 1.5x}";
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap();
    let read = |words: &[&str]| flags(words).read().unwrap().draft.retries;
    let file = read(&[path]).unwrap();
    assert_eq!((file.max, &file.on[..]), (1, &[EndReason::Exited][..]));
    assert_eq!(file.backoff, Some(Span::from_secs(30)));
    assert_eq!(file.memory.unwrap().to_string(), "1.5x");
    let words = [
        path,
        "--retry-on",
        "out_of_memory,machine_lost",
        "--retry-backoff",
        "1m",
    ];
    let both = read(&words).unwrap();
    let on = [EndReason::OutOfMemory, EndReason::MachineLost];
    assert_eq!((both.max, &both.on[..]), (1, &on[..]));
    assert_eq!(both.backoff, Some(Span::from_secs(60)));
    assert_eq!(both.memory, file.memory);
    let memory = read(&["--retry-memory", "2x", "--", "x"]).unwrap();
    assert!(memory.covers(EndReason::OutOfMemory) && memory.covers(EndReason::MachineLost));
    assert_eq!(read(&["--", "x"]), None);
}

#[test]
fn the_folder_that_is_sent_is_the_one_that_was_named() {
    let read = |words: &[&str]| flags(words).read().unwrap().workdir;
    assert_eq!(read(&["--", "x"]), Workdir::Current);
    assert_eq!(read(&["--no-workdir", "--", "x"]), Workdir::None);
    assert_eq!(
        read(&["--workdir", "code", "--", "x"]),
        Workdir::Named("code".into())
    );
    assert!(Line::try_parse_from(["job", "--workdir", "a", "--no-workdir"]).is_err());
}

#[test]
fn the_same_text_is_the_same_key() {
    assert_eq!(
        idempotency_key(Some("nightly")),
        idempotency_key(Some("nightly"))
    );
    assert_ne!(
        idempotency_key(Some("nightly")),
        idempotency_key(Some("daily"))
    );
    assert_ne!(idempotency_key(None), idempotency_key(None));
    let uuid = "0193a1b2-0000-7000-8000-000000000001";
    assert_eq!(idempotency_key(Some(uuid)).to_string(), uuid);
}

#[test]
fn bad_flags_are_refused_where_they_stand() {
    for words in [
        ["--memory", "16 bananas"],
        ["--cpu", "-1"],
        ["--retry-on", "exited,tired"],
        ["--retry-memory", "2"],
        ["--dataset", "digits"],
        ["--env", "=x"],
        ["--array", "9-1"],
        ["--each", "p.jsonl%0"],
        ["--gpu", "0"],
    ] {
        assert!(
            Line::try_parse_from([&["job"], &words[..]].concat()).is_err(),
            "{words:?}"
        );
    }
    for words in [
        ["--image", "Python"],
        ["--network", "lan"],
        ["--isolation", "d"],
    ] {
        assert!(
            Line::try_parse_from([&["job"], &words[..]].concat()).is_err(),
            "{words:?}"
        );
    }
}

#[test]
fn a_share_is_a_gpu_and_a_size() {
    let draft = flags(&["--nodes", "4", "--exclusive"])
        .read()
        .unwrap()
        .draft;
    assert!(draft.request.exclusive && draft.nodes == Some(4));
    for array in [["--array", "0-3"], ["--each", "p.jsonl"]] {
        let both = [&["job", "--nodes", "4"], &array[..]].concat();
        assert!(Line::try_parse_from(both).is_err());
    }
    let words = ["--gpu", "2", "--gpu-memory", "20GiB..40GiB"];
    let gpu = flags(&words).read().unwrap().draft.request.gpu.unwrap();
    assert_eq!(gpu.memory_words().unwrap(), "20 GiB to 40 GiB");
    let words = ["--gpu", "rtx-4090:1", "--gpu-memory", "8GiB", "--gpu-share"];
    let gpu = flags(&words).read().unwrap().draft.request.gpu.unwrap();
    assert_eq!(gpu.model.as_deref(), Some("rtx-4090"));
    assert_eq!(gpu.shared_memory(), Some(Bytes::gib(8)));
    for words in [&["--gpu-share"][..], &["--gpu-memory", "8GiB"]] {
        let problem = flags(words).read().unwrap_err();
        assert_eq!(problem.code, Code::BadRequest, "{words:?}");
    }
    // A file's GPU can be shared by a flag, and keeps what the flags do not say.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("job.yaml");
    std::fs::write(
        &path,
        "command: [x]\nresources: {gpu: {model: h200, memory: 20GiB}}",
    )
    .unwrap();
    let path = path.to_str().unwrap();
    let asked = flags(&[path, "--gpu-share"]).read().unwrap();
    let gpu = asked.draft.into_spec(None).unwrap().request.gpu.unwrap();
    assert_eq!(
        (gpu.model.as_deref(), gpu.shared_memory()),
        (Some("h200"), Some(Bytes::gib(20)))
    );
    let asked = flags(&["--gpu", "1", "--gpu-share", "--", "x"])
        .read()
        .unwrap();
    assert_eq!(
        asked.draft.into_spec(None).unwrap_err().code,
        Code::BadJobFile
    );
}

#[test]
fn image_network_and_isolation_win_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("job.yaml");
    std::fs::write(&path, "image: python:3.12\nnetwork: internet\nisolation: a").unwrap();
    let path = path.to_str().unwrap();
    let words = [
        path,
        "--image",
        "host",
        "--network",
        "full",
        "--isolation",
        "strong",
        "--",
        "x",
    ];
    let spec = flags(&words).read().unwrap().draft.into_spec(None).unwrap();
    assert_eq!(spec.image, Image::Host);
    assert_eq!(spec.network, Network::Full);
    assert_eq!(spec.isolation, Some(MinIsolation::Strong));
    let spec = flags(&[path, "--", "x"])
        .read()
        .unwrap()
        .draft
        .into_spec(None)
        .unwrap();
    assert_eq!(spec.image.to_string(), "docker.io/library/python:3.12");
    assert_eq!(
        (spec.network, spec.isolation),
        (Network::Internet, Some(MinIsolation::A))
    );
}
