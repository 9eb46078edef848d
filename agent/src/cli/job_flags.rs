//! The flags that `submit` and `run` share: every key of the job file, and a flag wins over its key.

use std::path::PathBuf;

use clap::Args;
use common::{
    code::Code,
    id::IdempotencyKey,
    job::{ArraySpec, DatasetMount, Retries},
    problem::Problem,
    status::{Network, Priority},
    time::Span,
    units::{Bytes, MilliCpu},
};
use uuid::Uuid;

use super::job_file::{self, Draft, ShortGpu};

/// A job as flags.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct JobFlags {
    /// Name of the job (default: the program's)
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Processors of each task (default: 1)
    #[arg(long, value_name = "N")]
    cpu: Option<MilliCpu>,
    /// Memory of each task (default: 1GiB)
    #[arg(long, value_name = "SIZE")]
    memory: Option<Bytes>,
    /// Disk of each task (default: 1GiB)
    #[arg(long, value_name = "SIZE")]
    disk: Option<Bytes>,
    /// GPUs of each task
    #[arg(long, value_name = "[MODEL:]N")]
    gpu: Option<ShortGpu>,
    /// Mount a dataset, read-only
    #[arg(long = "dataset", value_name = "NAME[@VERSION]:PATH")]
    datasets: Vec<DatasetMount>,
    /// Set an environment variable
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Folder to send along (default: the current one)
    #[arg(long, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// Send no folder along
    #[arg(long, conflicts_with = "workdir")]
    no_workdir: bool,
    /// Keep this path of the work folder, besides /output
    #[arg(long = "output", value_name = "PATH")]
    outputs: Vec<String>,
    /// What the job may reach
    #[arg(long, value_name = "none")]
    network: Option<Network>,
    /// How soon it should start compared with others
    #[arg(long, value_name = "low|normal|high")]
    priority: Option<Priority>,
    /// End each try after so long
    #[arg(long, value_name = "SPAN")]
    max_runtime: Option<Span>,
    /// How often to try again what was no fault of the job
    #[arg(long, value_name = "N")]
    retries: Option<u32>,
    /// Run many tasks, each with its COMPUTE_SHARE_TASK_INDEX
    #[arg(long, value_name = "FIRST-LAST[%PARALLEL]")]
    array: Option<ArraySpec>,
    /// The same key gives the same job, however often it is submitted
    #[arg(long, value_name = "TEXT")]
    idempotency_key: Option<String>,
    /// Only say what would happen
    #[arg(long)]
    pub(super) dry_run: bool,
    /// A job file; flags win over its keys
    #[arg(value_name = "FILE.yaml")]
    file: Option<PathBuf>,
    /// Program and arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

/// What the person asked for, from file and flags together.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) draft: Draft,
    pub(super) workdir: Workdir,
    pub(super) key: IdempotencyKey,
}

/// Which folder is sent along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Workdir {
    None,
    /// The current folder, because nothing else was said; not sent where that was surely not meant.
    Current,
    Named(PathBuf),
}

impl JobFlags {
    /// Reads the file, where there is one, and puts the flags over it.
    pub(super) fn read(self) -> Result<Asked, Problem> {
        let mut draft = match &self.file {
            Some(path) => job_file::load(path)?,
            None => Draft::default(),
        };
        let key = key(self.idempotency_key.as_deref());
        let no_workdir = self.no_workdir;
        self.put_over(&mut draft)?;
        let workdir = match draft.workdir.take() {
            _ if no_workdir => Workdir::None,
            Some(folder) => Workdir::Named(folder),
            None => Workdir::Current,
        };
        Ok(Asked {
            draft,
            workdir,
            key,
        })
    }

    fn put_over(self, draft: &mut Draft) -> Result<(), Problem> {
        if self.network == Some(Network::Internet) {
            let what = "the job cannot have the internet";
            return Err(Problem::new(
                Code::BadRequest,
                what,
                "`--network internet` is not available in this version",
            ));
        }
        draft.name = self.name.or(draft.name.take());
        if !self.command.is_empty() {
            draft.command = self.command;
        }
        draft.workdir = self.workdir.or(draft.workdir.take());
        draft.env.extend(self.env);
        let request = &mut draft.request;
        request.cpu = self.cpu.unwrap_or(request.cpu);
        request.memory = self.memory.unwrap_or(request.memory);
        request.disk = self.disk.unwrap_or(request.disk);
        request.gpu = self.gpu.map(|gpu| gpu.0).or(request.gpu.take());
        // One dataset a path: that of the flag.
        draft
            .datasets
            .retain(|mount| self.datasets.iter().all(|flag| flag.path != mount.path));
        draft.datasets.extend(self.datasets);
        if !self.outputs.is_empty() {
            draft.outputs = self.outputs;
        }
        draft.network = self.network.or(draft.network);
        draft.priority = self.priority.or(draft.priority);
        draft.max_runtime = self.max_runtime.or(draft.max_runtime);
        if let Some(max) = self.retries {
            let retries = draft.retries.take().unwrap_or_default();
            draft.retries = Some(Retries { max, ..retries });
        }
        draft.array = self.array.or(draft.array);
        Ok(())
    }
}

/// Turns a person's own key into ours: the same text is always the same key.
fn key(text: Option<&str>) -> IdempotencyKey {
    let Some(text) = text else {
        return IdempotencyKey::new(Uuid::now_v7());
    };
    text.parse().unwrap_or_else(|_| {
        let digest = blake3::hash(text.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.as_bytes()[..16]);
        IdempotencyKey::new(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    })
}

#[cfg(test)]
mod tests {
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
            .map(|m| format!("{}:{}", m.dataset, m.path))
            .collect();
        assert_eq!(mounts, ["y:/other", "z@7:/data"]);
        assert_eq!(draft.outputs, ["other"]);
        assert_eq!(draft.priority, Some(Priority::High));
        let retries = draft.retries.unwrap();
        assert_eq!((retries.max, retries.on.len()), (5, 1));
        assert_eq!(draft.array.unwrap().to_string(), "0-1%1");
        assert_eq!(draft.max_runtime, Some(Span::from_secs(3600)));
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
        assert_eq!(key(Some("nightly")), key(Some("nightly")));
        assert_ne!(key(Some("nightly")), key(Some("daily")));
        assert_ne!(key(None), key(None));
        let uuid = "0193a1b2-0000-7000-8000-000000000001";
        assert_eq!(key(Some(uuid)).to_string(), uuid);
    }

    #[test]
    fn bad_flags_are_refused_where_they_stand() {
        for words in [
            ["--memory", "16 bananas"],
            ["--cpu", "-1"],
            ["--dataset", "digits"],
            ["--env", "=x"],
            ["--array", "9-1"],
            ["--gpu", "0"],
        ] {
            assert!(
                Line::try_parse_from([&["job"], &words[..]].concat()).is_err(),
                "{words:?}"
            );
        }
        let problem = flags(&["--network", "internet"]).read().unwrap_err();
        assert_eq!(problem.code, Code::BadRequest);
    }
}
