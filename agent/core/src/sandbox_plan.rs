//! What one attempt's sandbox is made of, as data: command, environment, mounts, limits, identity.
//!
//! [`plan`] decides everything that can be decided; the performer in the agent only carries it out, with
//! system calls. Nothing is looked up here: what the machine has comes in as a [`Host`]. The plan is stored
//! beside the attempt as JSON, so that the supervisor reads it and people can.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use common::{
    id::AttemptId,
    name::Name,
    status::Network,
    time::Span,
    units::{Bytes, MilliCpu},
    wire::agent::AttemptSpec,
};
use serde::{Deserialize, Serialize};

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
/// First user id on the host that jobs of a root agent get, and how many there are: the part of the id
/// space that the distributions' conventions leave to nobody: above what systemd gives containers, below the
/// range for foreign images that ends it.
pub const FIRST_HOST_UID: u32 = 0x7000_0000;
const HOST_UIDS: u32 = 0x7ffe_0000 - FIRST_HOST_UID;
/// Where programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What the supervisor reserves of the environment; a job cannot set these itself.
const RESERVED_PREFIX: &str = "COMPUTE_SHARE_";
/// Parts of the host's `/etc` that programs need and that say nothing about its owner.
const ETC: [&str; 10] = [
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/alternatives",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/mime.types",
    "/etc/services",
];
/// Devices that every job has.
const DEVICES: [&str; 5] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
];
/// Devices that every job with a GPU has besides the GPU's own.
const GPU_DEVICES: [&str; 3] = ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"];

/// What the plan depends on.
#[derive(Debug, Clone, Copy)]
pub struct PlanInput<'a> {
    pub attempt: AttemptId,
    pub spec: &'a AttemptSpec,
    /// Name of this machine in its org.
    pub machine: &'a Name,
    pub host: &'a Host,
    pub folders: &'a Folders,
}

/// What the machine can do for sandboxes, as the agent found out at its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Whether the agent is root, so that every attempt gets a user id of its own.
    pub superuser: bool,
    pub cgroup: Cgroup,
    /// Folders and links besides `/usr` that programs need, such as `bin` and `lib64`.
    pub top: BTreeMap<String, TopEntry>,
    /// Device node of each GPU, by the identifier that allocations use.
    pub gpus: BTreeMap<String, PathBuf>,
}

/// An entry of the host's root folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TopEntry {
    /// Where the link leads.
    Link(String),
    Folder,
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
    },
    /// None at all.
    None,
}

/// Where the parts of an attempt are on the machine; absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    pub work: PathBuf,
    pub output: PathBuf,
    /// One for each dataset of the specification, in its order.
    pub datasets: Vec<PathBuf>,
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
    pub network: Network,
    pub max_runtime: Option<Span>,
    /// Between SIGTERM and SIGKILL.
    pub grace: Span,
    /// User and group inside.
    pub uid: u32,
    pub identity: Identity,
    pub cgroup: Cgroup,
    /// Where the daemon notes how long the attempt may go on without it; `None` where nobody does.
    #[serde(default)]
    pub lease: Option<PathBuf>,
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
}

/// What may be done with a bound file or folder. Set-user-id bits never count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    ReadOnly,
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
}

/// Whom the job's files and processes belong to, seen from the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// The user that the agent runs as.
    Agent,
    /// A user and group of the attempt's own.
    Private { uid: u32 },
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
    };
    SandboxPlan {
        command: spec.command.clone(),
        env: environment(input),
        hostname: input.machine.to_string(),
        mounts: mounts(input, limits.memory),
        limits,
        network: spec.network,
        max_runtime: spec.max_runtime,
        grace: spec.grace,
        uid: INSIDE_UID,
        identity: identity(input),
        cgroup: input.host.cgroup.clone(),
        lease: None,
    }
}

fn environment(input: &PlanInput<'_>) -> BTreeMap<String, String> {
    let PlanInput { attempt, spec, .. } = input;
    let mut env = BTreeMap::new();
    let mut set = |name: &str, value: String| {
        env.insert(name.to_owned(), value);
    };
    for (name, value) in [
        ("PATH", PATH),
        ("HOME", WORK),
        ("USER", "job"),
        ("LANG", "C.UTF-8"),
        ("TMPDIR", "/tmp"),
    ] {
        set(name, value.to_owned());
    }
    for (name, value) in &spec.env {
        if !name.starts_with(RESERVED_PREFIX) {
            set(name, value.clone());
        }
    }
    let gpus = spec.allocation.gpus.join(",");
    let visible = if gpus.is_empty() { "void" } else { &gpus };
    for (name, value) in [
        ("COMPUTE_SHARE_JOB_ID", attempt.job.to_string()),
        ("COMPUTE_SHARE_JOB_NUMBER", spec.job_number.to_string()),
        ("COMPUTE_SHARE_TASK_INDEX", attempt.task.to_string()),
        ("COMPUTE_SHARE_TASK_COUNT", spec.task_count.to_string()),
        ("COMPUTE_SHARE_ATTEMPT", attempt.number.to_string()),
        ("COMPUTE_SHARE_OUTPUT_DIR", OUTPUT.to_owned()),
        ("COMPUTE_SHARE_MACHINE", input.machine.to_string()),
        ("NVIDIA_VISIBLE_DEVICES", visible.to_owned()),
        ("CUDA_VISIBLE_DEVICES", gpus.clone()),
    ] {
        set(name, value);
    }
    env
}

fn mounts(input: &PlanInput<'_>, memory: Bytes) -> Vec<Mount> {
    let host = input.host;
    let mut mounts = vec![bind("/usr", Path::new("/usr"), Access::ReadOnly, false)];
    for (name, entry) in &host.top {
        let target = format!("/{name}");
        mounts.push(match entry {
            TopEntry::Link(to) => link(&target, to),
            TopEntry::Folder => bind(&target, Path::new(&target), Access::ReadOnly, false),
        });
    }
    mounts.extend(DEVICES.map(|path| bind(path, Path::new(path), Access::Device, false)));
    if !input.spec.allocation.gpus.is_empty() {
        mounts.extend(GPU_DEVICES.map(|path| bind(path, Path::new(path), Access::Device, true)));
        let granted = &input.spec.allocation.gpus;
        let nodes = granted.iter().filter_map(|gpu| host.gpus.get(gpu));
        // A node that is gone is a GPU that fell off the bus: the sandbox is not made without it.
        mounts.extend(nodes.map(|node| bind(&node.to_string_lossy(), node, Access::Device, false)));
    }
    let links = [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
        ("/dev/ptmx", "pts/ptmx"),
        ("/etc/mtab", "/proc/mounts"),
        ("/etc/os-release", "../usr/lib/os-release"),
    ];
    mounts.extend(links.map(|(target, to)| link(target, to)));
    mounts.extend(ETC.map(|path| bind(path, Path::new(path), Access::ReadOnly, true)));
    mounts.extend(etc_texts(input.machine).map(|(target, text)| Mount {
        target: target.to_owned(),
        content: Content::Text { text },
    }));
    // What is in memory counts towards the memory limit; the size is for machines that have none.
    for (target, size) in [
        ("/tmp", memory),
        ("/dev/shm", Bytes((memory.0 / 2).max(1 << 20))),
    ] {
        mounts.push(Mount {
            target: target.to_owned(),
            content: Content::Scratch { size },
        });
    }
    let folders = input.folders;
    mounts.push(bind(WORK, &folders.work, Access::Writable, false));
    mounts.push(bind(OUTPUT, &folders.output, Access::Writable, false));
    let datasets = input.spec.datasets.iter().zip(&folders.datasets);
    mounts.extend(
        datasets.map(|(dataset, source)| bind(&dataset.path, source, Access::ReadOnly, false)),
    );
    mounts
}

/// Returns the files of `/etc` that are the sandbox's own.
fn etc_texts(machine: &Name) -> [(&'static str, String); 5] {
    let passwd = format!(
        "root:x:0:0:root:/root:/usr/sbin/nologin\n\
         job:x:{INSIDE_UID}:{INSIDE_UID}:job:{WORK}:/bin/sh\n\
         nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    );
    let group = format!("root:x:0:\njob:x:{INSIDE_UID}:\nnogroup:x:65534:\n");
    let hosts = format!("127.0.0.1 localhost {machine}\n::1 localhost {machine}\n");
    [
        ("/etc/passwd", passwd),
        ("/etc/group", group),
        ("/etc/hosts", hosts),
        ("/etc/hostname", format!("{machine}\n")),
        (
            "/etc/nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files dns\n".to_owned(),
        ),
    ]
}

fn link(target: &str, to: &str) -> Mount {
    Mount {
        target: target.to_owned(),
        content: Content::Link { to: to.to_owned() },
    }
}

fn bind(target: &str, source: &Path, access: Access, optional: bool) -> Mount {
    Mount {
        target: target.to_owned(),
        content: Content::Bind {
            source: source.to_owned(),
            access,
            optional,
        },
    }
}

/// Returns whom the job is on the host. The number comes from the attempt itself (FNV-1a of its key), so
/// that no two attempts that meet on a machine are likely to share one, and what an earlier one left behind
/// belongs to somebody else.
fn identity(input: &PlanInput<'_>) -> Identity {
    if !input.host.superuser {
        return Identity::Agent;
    }
    let hash = input
        .attempt
        .key()
        .iter()
        .fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
        });
    Identity::Private {
        uid: FIRST_HOST_UID + hash % HOST_UIDS,
    }
}

#[cfg(test)]
mod tests;
