//! What one attempt's sandbox is made of, as data: command, environment, mounts, limits, identity.
//!
//! [`plan`] decides everything that can be decided; the performer in the agent only carries it out, with
//! system calls. Nothing is looked up here: what the machine has comes in as a [`Host`]. The plan is stored
//! beside the attempt as JSON, so that the supervisor reads it and people can.

mod environment;
mod gpu;
mod identity;
mod image_root;
mod lazy;
mod mounts;
mod network;
mod shared;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use common::{
    id::AttemptId,
    job::Checkpoint,
    name::Name,
    time::Span,
    units::{Bytes, MilliCpu},
    wire::agent::AttemptSpec,
};
use serde::{Deserialize, Serialize};

use crate::params::Filled;

pub use self::{
    gpu::{GPU_FOLDER, GpuFiles},
    identity::{FIRST_HOST_UID, Identity},
    image_root::ImageRoot,
    lazy::{DatasetFolder, LAZY_PATIENCE, Lazy},
};

use self::{environment::command, environment::environment, identity::identity, mounts::mounts};

/// The user that the job is inside the sandbox.
pub const INSIDE_UID: u32 = 1000;
/// Where the job starts, and its home.
pub const WORK: &str = "/work";
/// Where the job leaves its results.
pub const OUTPUT: &str = "/output";
/// Most processes and threads of one attempt.
pub const MAX_PROCESSES: u32 = 4096;
/// Least memory of a sandbox: less does not even hold what starts the program.
const MIN_MEMORY: Bytes = Bytes::mib(16);
/// Most files that one process of a job has open.
pub const MAX_OPEN_FILES: u64 = 65_536;

/// What the plan depends on.
#[derive(Debug, Clone, Copy)]
pub struct PlanInput<'a> {
    pub attempt: AttemptId,
    pub spec: &'a AttemptSpec,
    /// Name of this machine in its org.
    pub machine: &'a Name,
    pub host: &'a Host,
    pub folders: &'a Folders,
    /// What takes the place of the machine's own programs.
    pub image: Option<&'a ImageRoot>,
    /// For a job with a network.
    pub rules: &'a ProxyRules,
    /// Of the task, where its array has such.
    pub params: Option<&'a Filled>,
}

/// What the machine can do for sandboxes, as the agent found out at its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Whether the agent is root, so that every attempt gets a user id of its own.
    pub superuser: bool,
    pub cgroup: Cgroup,
    /// Folders and links besides `/usr` that programs need, such as `bin` and `lib64`.
    pub top: BTreeMap<String, TopEntry>,
    /// What there is of each GPU, by the identifier that allocations use.
    pub gpus: BTreeMap<String, GpuFiles>,
    /// What makes sandboxes, unless a job asks for more.
    #[serde(default)]
    pub backend: Backend,
    /// Other programs that this one works with, where they are installed.
    #[serde(default)]
    pub tools: Tools,
    /// The device by which a process serves a file system to a sandbox; `None` where that does not work.
    #[serde(default)]
    pub fuse: Option<PathBuf>,
}

/// Programs of the machine that a sandbox may be made with. Absolute paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tools {
    /// bubblewrap.
    pub bwrap: Option<PathBuf>,
    /// gVisor.
    pub runsc: Option<PathBuf>,
    pub slirp4netns: Option<PathBuf>,
    pub nft: Option<PathBuf>,
}

/// What makes the sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// This program, with the kernel's own means.
    #[default]
    Native,
    /// A second opinion on the same promises.
    Bubblewrap { program: PathBuf },
    /// gVisor: the job speaks to a kernel in user space.
    Runsc { program: PathBuf },
}

/// How a sandbox reaches the network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkPlan {
    /// Not at all; its own loopback is there.
    #[default]
    None,
    /// Through a proxy of the machine's, which listens inside at [`PROXY_PORT`] of the loopback.
    Proxy(ProxyRules),
    /// Through a user-mode network with rules that are set before the job begins.
    Full {
        slirp4netns: PathBuf,
        nft: PathBuf,
        rules: ProxyRules,
    },
}

/// Where the proxy listens inside.
pub const PROXY_PORT: u16 = 3128;

/// Whom a job may not reach, besides every private, local and special address, and how much it may move.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyRules {
    /// The coordinator's addresses, and others of this machine that are not its interfaces'.
    pub denied: Vec<std::net::IpAddr>,
    /// Most bytes in both directions together; `None` is no bound.
    pub most_bytes: Option<Bytes>,
}

/// An entry of the host's root folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TopEntry {
    /// Where the link leads.
    Link(String),
    Folder,
    File,
}

/// Where limits can be set, and how. The folders exist, and the agent may make more in them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cgroup {
    /// One tree with all controllers.
    V2 { base: PathBuf },
    /// A tree for each controller.
    V1 {
        memory: PathBuf,
        cpu: PathBuf,
        cpuacct: PathBuf,
        pids: PathBuf,
        /// In a tree of the new form without controllers, where there is one beside: by it an attempt is frozen
        /// and ended as a whole.
        #[serde(default)]
        unified: Option<PathBuf>,
    },
    /// None at all.
    None,
}

impl Cgroup {
    /// Returns every folder in which attempts have theirs.
    pub fn bases(&self) -> impl Iterator<Item = &Path> {
        let (always, beside) = match self {
            Self::None => (Vec::new(), None),
            Self::V2 { base } => (vec![base], None),
            Self::V1 {
                memory,
                cpu,
                cpuacct,
                pids,
                unified,
            } => (vec![memory, cpu, cpuacct, pids], unified.as_ref()),
        };
        always.into_iter().chain(beside).map(PathBuf::as_path)
    }
}

/// Where the parts of an attempt are on the machine; absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    pub work: PathBuf,
    pub output: PathBuf,
    /// One for each dataset of the specification, in its order.
    pub datasets: Vec<DatasetFolder>,
}

/// Everything about one sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxPlan {
    pub command: Vec<String>,
    /// All of it: nothing is inherited.
    pub env: BTreeMap<String, String>,
    pub hostname: String,
    /// In the order in which they are made.
    pub mounts: Vec<Mount>,
    pub limits: Limits,
    #[serde(default)]
    pub backend: Backend,
    pub network: NetworkPlan,
    pub max_runtime: Option<Span>,
    /// Between SIGTERM and SIGKILL.
    pub grace: Span,
    /// Before SIGTERM.
    #[serde(default)]
    pub checkpoint: Option<Checkpoint>,
    /// User and group inside.
    pub uid: u32,
    pub identity: Identity,
    pub cgroup: Cgroup,
    #[serde(default)]
    pub disk: DiskBound,
    /// Where the daemon notes how long the attempt may go on without it; `None` where nobody does.
    #[serde(default)]
    pub lease: Option<PathBuf>,
    /// What the job's log begins with: what is not as it was asked for.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The attempt that its sandbox was made for, where others of the job may follow in it: itself, or one before.
    #[serde(default)]
    pub shared: Option<AttemptId>,
}

impl SandboxPlan {
    /// Returns what is served lazily, in the order of the mounts.
    pub fn lazy(&self) -> impl Iterator<Item = &Lazy> {
        self.mounts.iter().filter_map(|mount| match &mount.content {
            Content::Lazy(lazy) => Some(lazy),
            _ => None,
        })
    }
}

/// Something at a path of the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute, plain.
    pub target: String,
    pub content: Content,
}

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// A file or folder of the host.
    Bind {
        source: PathBuf,
        access: Access,
        /// Whether the sandbox is complete without it, where the host has none.
        optional: bool,
    },
    Link {
        to: String,
    },
    /// A small file that nobody can change.
    Text {
        text: String,
    },
    /// Empty, in memory.
    Scratch {
        size: Bytes,
    },
    /// A dataset whose files a process of the attempt's own serves as they are read.
    Lazy(Lazy),
}

/// What may be done with a bound file or folder. Set-user-id bits never count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    ReadOnly,
    /// Read-only, and nothing in it can be run.
    Data,
    Writable,
    /// A device node: written to, but not changed.
    Device,
}

/// Bounds on what the attempt consumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub memory: Bytes,
    pub cpu: MilliCpu,
    pub processes: u32,
    pub open_files: u64,
    /// Of the work folder and the output together.
    pub disk: Bytes,
    /// Of the addresses that one process may map, where nothing better holds the job's memory. A GPU's programs
    /// map many times what they use, so with one there is no such limit.
    #[serde(default)]
    pub mapped: Option<Bytes>,
}

/// What keeps the job's files within their limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskBound {
    /// They are counted now and then, and the job is ended when they are too many.
    #[default]
    Counted,
    /// A disk of their own, which the supervisor is given and mounts at `disk` in the attempt's folder.
    Own,
}

/// Returns the sandbox of an attempt.
pub fn plan(input: &PlanInput<'_>) -> SandboxPlan {
    let spec = input.spec;
    let limits = Limits {
        memory: spec.allocation.memory.max(MIN_MEMORY),
        cpu: spec.allocation.cpu,
        processes: MAX_PROCESSES,
        open_files: MAX_OPEN_FILES,
        disk: spec.allocation.disk,
        mapped: mapped(input),
    };
    SandboxPlan {
        command: command(input).to_vec(),
        env: environment(input),
        hostname: input.machine.to_string(),
        mounts: mounts(input, limits.memory),
        limits,
        backend: backend(input),
        network: network::network(input),
        max_runtime: spec.max_runtime,
        grace: spec.grace,
        checkpoint: spec.checkpoint,
        uid: INSIDE_UID,
        identity: identity(input),
        cgroup: input.host.cgroup.clone(),
        disk: DiskBound::Counted,
        lease: None,
        notes: lazy::notes(input),
        shared: None,
    }
}

fn mapped(input: &PlanInput<'_>) -> Option<Bytes> {
    let allocation = &input.spec.allocation;
    let bound = input.host.cgroup == Cgroup::None && allocation.gpus.is_empty();
    bound.then(|| allocation.memory.max(MIN_MEMORY))
}

/// Returns the folders of an image that [`plan`] has to know the content of, whatever `input` says of one.
pub fn folders_to_list(input: &PlanInput<'_>) -> BTreeSet<String> {
    let own = mounts::own(input, MIN_MEMORY);
    image_root::shared_folders(own.iter().map(|mount| mount.target.as_str()))
}

/// A machine without gVisor has refused the job before; the empty path makes sure that nothing else runs it.
fn backend(input: &PlanInput<'_>) -> Backend {
    if input.spec.strong {
        Backend::Runsc {
            program: input.host.tools.runsc.clone().unwrap_or_default(),
        }
    } else {
        input.host.backend.clone()
    }
}

#[cfg(test)]
mod tests;
