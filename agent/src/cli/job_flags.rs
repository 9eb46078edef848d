//! The flags that `submit` and `run` share: every key of the job file, and a flag wins over its key.

use std::path::PathBuf;

use clap::Args;
use common::{
    code::Code,
    id::IdempotencyKey,
    image::Image,
    job::{After, ArraySpec, Checkpoint, MemoryFactor, Mount, Retries},
    label::WantedLabel,
    name::Name,
    problem::Problem,
    resources::GpuRequest,
    secret::SecretName,
    status::{EndReason, MinIsolation, Network, Priority, SandboxScope, Visibility},
    time::Span,
    units::{Bytes, MilliCpu},
};
use uuid::Uuid;

use super::{
    each::Each,
    graph_file::{self, Graph},
    job_file::{self, Draft, MemoryRange, ShortGpu},
};

/// A job as flags.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(super) struct JobFlags {
    /// Name of the job (default: the program's)
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// What the job sees as its root: host, an image such as python:3.12, or imported:NAME (default: host)
    #[arg(long, value_name = "IMAGE")]
    image: Option<Image>,
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
    /// Least memory of each of these GPUs, or from how much to how much
    #[arg(long, value_name = "SIZE[..SIZE]")]
    gpu_memory: Option<MemoryRange>,
    /// Take only that memory of a GPU and leave the rest to other jobs
    #[arg(long)]
    gpu_share: bool,
    /// Mount a dataset read-only, or what a job left: job:42:/data/prev; with `:lazy` a dataset's files come
    /// when they are read
    #[arg(long = "dataset", value_name = "NAME[@VERSION]:PATH[:lazy]")]
    datasets: Vec<Mount>,
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
    #[arg(long, value_name = "none|internet|full")]
    network: Option<Network>,
    /// How well a machine must hold the job in
    #[arg(long, value_name = "c|b|a|strong")]
    isolation: Option<MinIsolation>,
    /// What a sandbox is for: the whole job, so that tasks follow one another in it, or each task alone
    #[arg(long, value_name = "job|task")]
    sandbox: Option<SandboxScope>,
    /// How soon it should start compared with others
    #[arg(long, value_name = "low|normal|high")]
    priority: Option<Priority>,
    /// End each try after so long
    #[arg(long, value_name = "SPAN")]
    max_runtime: Option<Span>,
    /// How often to try a task again
    #[arg(long, value_name = "N")]
    retries: Option<u32>,
    /// After what to try again (default: machine_lost, machine_owner and preempted, no fault of the job)
    #[arg(long, value_name = "REASON,...", value_delimiter = ',')]
    retry_on: Vec<EndReason>,
    /// Wait so long before the second try after what the next machine may end the same way, twice as long before each
    /// further one, at most 10m (default: 10s)
    #[arg(long, value_name = "SPAN")]
    retry_backoff: Option<Span>,
    /// After out_of_memory, try again with so many times the memory
    #[arg(long, value_name = "FACTOR, as in 2x")]
    retry_memory: Option<MemoryFactor>,
    /// Run many tasks, each with its COMPUTE_SHARE_TASK_INDEX: 0-99, or 0-9,20,30-40%5 for at most 5 at once
    #[arg(long, value_name = "INDICES[%PARALLEL]")]
    array: Option<ArraySpec>,
    /// Run a task for each line of a file, an object of JSON: {key} in the command is its value, and the line is in
    /// COMPUTE_SHARE_PARAMS; - is the standard input, --array chooses lines
    #[arg(long, value_name = "FILE[%PARALLEL]")]
    each: Option<Each>,
    /// Project that the job belongs to
    #[arg(long, value_name = "NAME")]
    project: Option<Name>,
    /// Who besides you may see it, where it belongs to no project (default: the org's own default)
    #[arg(
        long,
        value_name = "personal|org_read|org_write",
        conflicts_with = "project"
    )]
    visibility: Option<Visibility>,
    /// Give the job a secret of the org, as a variable of its name
    #[arg(long = "secret", value_name = "NAME")]
    secrets: Vec<SecretName>,
    /// Wait for another job: until it has succeeded, failed, ended or started (default: succeeded)
    #[arg(long, value_name = "JOB[:CONDITION]")]
    after: Vec<After>,
    /// Submit it held: it starts nothing before `job release`
    #[arg(long)]
    hold: bool,
    /// Run only on machines with this label, or with `!` before it, without it
    #[arg(long = "label", value_name = "[!]KEY[=VALUE]")]
    labels: Vec<WantedLabel>,
    /// Run on so many machines at once, a task on each: all start and end together
    #[arg(long, value_name = "N", conflicts_with_all = ["array", "each"])]
    nodes: Option<u32>,
    /// Before it has to give way, send it this signal and so much time to write down how far it is (default: 60s); its next
    /// attempt finds again what it left under /output
    #[arg(long, value_name = "SIGNAL[:TIME]")]
    checkpoint: Option<Checkpoint>,
    /// Have a machine to itself; all of its processors and memory count as held
    #[arg(long)]
    exclusive: bool,
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
        Some((name, value)) if !name.is_empty() => {
            job_file::check_variable(name, value)?;
            Ok((name.to_owned(), value.to_owned()))
        }
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

/// What can be said of a graph as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GraphFlags {
    pub(super) key: IdempotencyKey,
    pub(super) dry_run: bool,
    pub(super) no_workdir: bool,
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
    /// Returns the graph, where the file is one.
    ///
    /// # Errors
    /// It cannot be used, or a flag says something of one job.
    pub(super) fn graph(&self) -> Result<Option<(Graph, GraphFlags)>, Problem> {
        let Some(path) = &self.file else {
            return Ok(None);
        };
        let Some(graph) = graph_file::load(path)? else {
            return Ok(None);
        };
        let of_all = Self {
            file: self.file.clone(),
            idempotency_key: self.idempotency_key.clone(),
            dry_run: self.dry_run,
            no_workdir: self.no_workdir,
            ..Self::default()
        };
        if *self != of_all {
            let what = format!("{} cannot be used so", path.display());
            let why = "it has several jobs, and an option says something of one";
            let problem = Problem::new(Code::BadRequest, what, why);
            return Err(problem.help("Write it under the job's name, or under `defaults:`."));
        }
        let flags = GraphFlags {
            key: idempotency_key(self.idempotency_key.as_deref()),
            dry_run: self.dry_run,
            no_workdir: self.no_workdir,
        };
        Ok(Some((graph, flags)))
    }

    /// Reads the file, where there is one, and puts the flags over it.
    pub(super) fn read(self) -> Result<Asked, Problem> {
        let mut draft = match &self.file {
            Some(path) => job_file::load(path)?,
            None => Draft::default(),
        };
        let key = idempotency_key(self.idempotency_key.as_deref());
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
        draft.request.gpu = self.gpu(draft.request.gpu.take())?;
        draft.retries = self.tries(draft.retries.take());
        draft.name = self.name.or(draft.name.take());
        draft.image = self.image.or(draft.image.take());
        if !self.command.is_empty() {
            draft.command = self.command;
        }
        draft.workdir = self.workdir.or(draft.workdir.take());
        draft.env.extend(self.env);
        let request = &mut draft.request;
        request.cpu = self.cpu.unwrap_or(request.cpu);
        request.memory = self.memory.unwrap_or(request.memory);
        request.disk = self.disk.unwrap_or(request.disk);
        request.exclusive |= self.exclusive;
        // One dataset a path: that of the flag.
        draft
            .datasets
            .retain(|mount| self.datasets.iter().all(|flag| flag.path() != mount.path()));
        draft.datasets.extend(self.datasets);
        if !self.outputs.is_empty() {
            draft.outputs = self.outputs;
        }
        draft.network = self.network.or(draft.network);
        draft.isolation = self.isolation.or(draft.isolation);
        draft.sandbox = self.sandbox.or(draft.sandbox);
        draft.priority = self.priority.or(draft.priority);
        draft.max_runtime = self.max_runtime.or(draft.max_runtime);
        draft.array = self.array.or(draft.array.take());
        draft.project = self.project.or(draft.project.take());
        draft.visibility = self.visibility.or(draft.visibility);
        draft.secrets.extend(self.secrets);
        if !self.after.is_empty() {
            draft.after = self.after;
        }
        draft.nodes = self.nodes.or(draft.nodes);
        draft.checkpoint = self.checkpoint.or(draft.checkpoint);
        draft.each = self.each.or(draft.each.take());
        draft.hold |= self.hold;
        if !self.labels.is_empty() {
            draft.labels = self.labels;
        }
        Ok(())
    }

    /// Returns how often and after what a task is tried again: what the file says, with what the flags say instead.
    fn tries(&self, in_file: Option<Retries>) -> Option<Retries> {
        let more = self.retry_backoff.is_some() || self.retry_memory.is_some();
        if self.retries.is_none() && self.retry_on.is_empty() && !more {
            return in_file;
        }
        let said = in_file.unwrap_or_default();
        Some(Retries {
            max: self.retries.unwrap_or(said.max),
            on: match self.retry_on.is_empty() {
                true => said.on,
                false => self.retry_on.clone(),
            },
            backoff: self.retry_backoff.or(said.backoff),
            memory: self.retry_memory.or(said.memory),
        })
    }

    /// Returns the GPUs that are asked for: those of the flag, or of the file, with what the other flags add.
    fn gpu(&self, in_file: Option<GpuRequest>) -> Result<Option<GpuRequest>, Problem> {
        let asked = self.gpu.as_ref().map(|gpu| gpu.0.clone()).or(in_file);
        match asked {
            Some(gpu) => {
                let gpu = GpuRequest {
                    share: self.gpu_share || gpu.share,
                    ..gpu
                };
                Ok(Some(match self.gpu_memory {
                    Some(range) => range.put_into(gpu),
                    None => gpu,
                }))
            }
            None if self.gpu_memory.is_some() || self.gpu_share => {
                let what = "nothing says which GPU";
                let why = "--gpu-memory and --gpu-share say more about a --gpu, and there is none";
                Err(Problem::new(Code::BadRequest, what, why)
                    .help("Add --gpu 1, or --gpu MODEL:1."))
            }
            None => Ok(None),
        }
    }
}

/// Turns a person's own key into ours: the same text is always the same key.
pub(super) fn idempotency_key(text: Option<&str>) -> IdempotencyKey {
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
mod tests;
