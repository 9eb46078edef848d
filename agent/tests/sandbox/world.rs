//! An attempt's folder and plan, and what a finished one left.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use agent::{
    sandbox::host,
    supervise::{SandboxResult, Supervisor, SupervisorEvent},
};
use agent_core::sandbox_plan::{
    Access, Cgroup, Content, Folders, Host, ImageRoot, Mount, PlanInput, ProxyRules, SandboxPlan,
    folders_to_list, plan,
};
use common::{
    id::{AttemptId, JobId, TreeId},
    job::JobNumber,
    logs,
    resources::Allocation,
    status::{LogStream, Network},
    time::Span,
    units::{Bytes, MilliCpu},
    wire::agent::{AttemptImage, AttemptSpec, MountedTree},
};
use tempfile::TempDir;

use crate::matrix::{PROGRAM, way};
pub(crate) use crate::matrix::{Verdict, everyone, row};

/// How many times longer everything takes on this machine than on people's: an emulated one says so of itself.
pub(crate) const SLOWNESS: &str = "COMPUTE_SHARE_TEST_SLOWNESS";

pub(crate) fn slowness() -> u32 {
    std::env::var(SLOWNESS).map_or(1, |factor| factor.parse().unwrap())
}

/// A test that hangs fails instead.
pub(crate) fn patience() -> Duration {
    Duration::from_secs(60) * slowness()
}

pub(crate) fn program() -> PathBuf {
    std::env::var_os(PROGRAM)
        .map_or_else(|| env!("CARGO_BIN_EXE_compute-share").into(), PathBuf::from)
}

/// Runs a future as the daemon would.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(async {
        tokio::time::timeout(patience(), future)
            .await
            .expect("the test should not hang")
    })
}

/// One attempt that is about to run.
pub(crate) struct Attempt {
    pub(crate) folder: TempDir,
    pub(crate) host: Host,
    pub(crate) plan: SandboxPlan,
}

impl Attempt {
    pub(crate) fn of(command: &[&str]) -> Self {
        Self::with(None, command, &[])
    }

    /// One whose programs are an image's.
    pub(crate) fn in_image(image: &ImageRoot, command: &[&str]) -> Self {
        Self::with(Some(image), command, &[])
    }

    /// Returns the folders that an image shares with what is the sandbox's own.
    pub(crate) fn shared_folders() -> BTreeSet<String> {
        Self::shared_with(&[])
    }

    /// Returns them where datasets are mounted, too.
    pub(crate) fn shared_with(datasets: &[(&str, &Path)]) -> BTreeSet<String> {
        let mut shared = BTreeSet::new();
        Self::planned(None, &[], datasets, |input| {
            shared = folders_to_list(input);
        });
        shared
    }

    /// One with an image and datasets: where they appear, and where they are.
    pub(crate) fn with(
        image: Option<&ImageRoot>,
        command: &[&str],
        datasets: &[(&str, &Path)],
    ) -> Self {
        Self::planned(image, command, datasets, |_| {})
    }

    fn planned(
        image: Option<&ImageRoot>,
        command: &[&str],
        datasets: &[(&str, &Path)],
        look: impl FnOnce(&PlanInput<'_>),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let way = way();
        let mut host = host(BTreeMap::new());
        way.narrow(&mut host);
        host.backend = way.backend(&host);
        let machine = "olive".parse().unwrap();
        let spec = spec(command, datasets);
        let folders = Folders {
            work: path("work"),
            output: path("output"),
            datasets: datasets
                .iter()
                .map(|(_, source)| source.to_path_buf().into())
                .collect(),
        };
        let input = PlanInput {
            attempt: AttemptId {
                job: JobId::from_bytes([9; 16]),
                task: 0,
                number: 1,
            },
            spec: &spec,
            machine: &machine,
            host: &host,
            image,
            folders: &folders,
            rules: &ProxyRules::default(),
            params: None,
        };
        look(&input);
        let plan = plan(&input);
        Self { folder, host, plan }
    }

    pub(crate) fn shell(script: &str) -> Self {
        Self::of(&["/bin/sh", "-c", script])
    }

    /// Adds something of the host, read-only.
    pub(crate) fn bind(self, source: &Path, target: &str) -> Self {
        self.mount(source, target, Access::ReadOnly)
    }

    /// Adds a dataset.
    pub(crate) fn data(self, source: &Path, target: &str) -> Self {
        self.mount(source, target, Access::Data)
    }

    fn mount(mut self, source: &Path, target: &str, access: Access) -> Self {
        self.plan.mounts.push(Mount {
            target: target.to_owned(),
            content: Content::Bind {
                source: source.to_owned(),
                access,
                optional: false,
            },
        });
        self
    }

    pub(crate) fn has_cgroup(&self) -> bool {
        self.host.cgroup != Cgroup::None
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Needs a runtime around it.
    pub(crate) fn launch(&self) -> Supervisor {
        Supervisor::launch_with(&program(), self.folder.path(), &self.plan).unwrap()
    }

    /// Runs it to its end.
    pub(crate) fn run(&self) -> Finished {
        block_on(async {
            let mut supervisor = self.launch();
            self.finish(&mut supervisor).await
        })
    }

    /// Returns what came of it once its supervisor has taken everything down, which it does after the result.
    pub(crate) async fn finish(&self, supervisor: &mut Supervisor) -> Finished {
        loop {
            match supervisor.next().await {
                SupervisorEvent::Ended(result) => {
                    let held = fs::File::open(self.path("lock")).unwrap();
                    held.lock().unwrap();
                    return self.finished(result);
                }
                SupervisorEvent::Died => panic!("the supervisor died"),
                SupervisorEvent::Started { .. }
                | SupervisorEvent::Logged { .. }
                | SupervisorEvent::Used(_) => {}
            }
        }
    }

    pub(crate) fn finished(&self, result: SandboxResult) -> Finished {
        let log = fs::read(self.path("log")).unwrap();
        assert_eq!(log.len() as u64, result.outcome.log_bytes);
        let mut streams: BTreeMap<LogStream, Vec<u8>> = BTreeMap::new();
        let mut rest = log.as_slice();
        while let Some((record, after)) = logs::split_record(rest).unwrap() {
            streams
                .entry(record.stream)
                .or_default()
                .extend_from_slice(record.bytes);
            rest = after;
        }
        assert!(rest.is_empty(), "the log ends with a whole record");
        Finished { result, streams }
    }
}

pub(crate) fn spec(command: &[&str], datasets: &[(&str, &Path)]) -> AttemptSpec {
    AttemptSpec {
        org: "lab".parse().unwrap(),
        job_number: JobNumber(7),
        job_name: "test".to_owned(),
        submitter: "alice".parse().unwrap(),
        own_machine: false,
        task_count: 1,
        command: command.iter().map(|&word| word.to_owned()).collect(),
        env: BTreeMap::from([("ASKED".to_owned(), "yes".to_owned())]),
        image: AttemptImage::Host,
        registry_login: false,
        secrets: Vec::new(),
        strong: false,
        workdir: None,
        allocation: Allocation {
            cpu: MilliCpu::cpus(1),
            memory: Bytes::mib(512),
            disk: Bytes::mib(512),
            gpus: Vec::new(),
            gpu_shares: BTreeMap::new(),
        },
        datasets: datasets.iter().map(mounted).collect(),
        outputs: Vec::new(),
        network: Network::None,
        max_runtime: None,
        grace: Span::from_millis(200),
        project: None,
        nodes: Vec::new(),
        checkpoint: None,
        restore: None,
        params: None,
        shares: false,
    }
}

fn mounted((path, _): &(&str, &Path)) -> MountedTree {
    MountedTree {
        name: "set@1".to_owned(),
        tree: TreeId::new([1; 32]),
        path: (*path).to_owned(),
        lazy: false,
    }
}

/// What a finished attempt left.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) result: SandboxResult,
    streams: BTreeMap<LogStream, Vec<u8>>,
}

impl Finished {
    pub(crate) fn bytes(&self, stream: LogStream) -> &[u8] {
        self.streams.get(&stream).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn text(&self, stream: LogStream) -> String {
        String::from_utf8_lossy(self.bytes(stream)).into_owned()
    }

    pub(crate) fn stdout(&self) -> String {
        self.text(LogStream::Stdout)
    }
}

/// Returns the processes of the whole machine that have `marker` in their command line, except this one.
pub(crate) fn processes_with(marker: &str) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap();
    let numbers = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let has = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(marker)
    };
    numbers
        .filter(|&pid| pid != std::process::id())
        .filter(has)
        .collect()
}
