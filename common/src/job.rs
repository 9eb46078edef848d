//! Jobs: what is asked for, and what people see of it.

mod after;
mod array;
mod checkpoint;
pub mod graph;
mod mount;
mod retries;

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    approval::ApprovalView,
    id::{JobId, TreeId},
    image::Image,
    label::WantedLabel,
    name::Name,
    preemption::PreemptedBy,
    resources::{Allocation, Request},
    seal::Sealed,
    secret::SecretName,
    status::{
        AttemptStatus, EndReason, JobStatus, MinIsolation, Network, Priority, SandboxScope,
        Visibility,
    },
    time::{Span, Timestamp},
    units::Bytes,
    usage::UsageSample,
};

pub use self::{
    after::{After, AfterView, HoldView, InvalidAfter, MAX_AFTER, Unmet},
    array::{ArraySpec, IndexRange, InvalidArray, MAX_RANGES, MAX_TASKS},
    checkpoint::{
        Checkpoint, CheckpointSignal, DEFAULT_CHECKPOINT_GRACE, InvalidCheckpoint,
        MAX_CHECKPOINT_GRACE,
    },
    mount::{ArtifactMount, DatasetMount, InvalidMount, Mount, check_mount_path},
    retries::{DEFAULT_BACKOFF, InvalidFactor, MAX_BACKOFF, MAX_RETRIES, MemoryFactor, Retries},
};

/// Bounds on what one job may carry; a specification beyond them is refused at the door.
pub const MAX_ARGUMENTS: usize = 4096;
/// All arguments and variables of one job together, in bytes.
pub const MAX_COMMAND_BYTES: usize = 256 << 10;
pub const MAX_VARIABLES: usize = 1024;
pub const MAX_DATASETS: usize = 64;
pub const MAX_OUTPUTS: usize = 64;
/// Most machines that one job runs on at once.
pub const MAX_NODES: u32 = 64;
/// Most jobs that are named which run tasks of one again.
pub const MAX_RERUNS_SHOWN: usize = 16;
/// Most tasks that are listed as waiting until they are tried again.
pub const MAX_DELAYED_SHOWN: usize = 8;

/// A job's number in its org; what people type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobNumber(pub u64);

impl fmt::Display for JobNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `42` or `42.7`: a job, or one task of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JobRef {
    pub number: JobNumber,
    pub task: Option<u32>,
}

impl fmt::Display for JobRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.task {
            None => self.number.fmt(f),
            Some(task) => write!(f, "{}.{task}", self.number),
        }
    }
}

impl FromStr for JobRef {
    type Err = InvalidJobRef;

    fn from_str(text: &str) -> Result<Self, InvalidJobRef> {
        let invalid = || InvalidJobRef(text.chars().take(40).collect());
        let (number, task) = match text.split_once('.') {
            None => (text, None),
            Some((number, task)) => (number, Some(task.parse().map_err(|_| invalid())?)),
        };
        let number = number
            .parse()
            .ok()
            .filter(|&number| number > 0)
            .ok_or_else(invalid)?;
        Ok(Self {
            number: JobNumber(number),
            task,
        })
    }
}

/// The text is not a job's number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a job; write its number, as in 42, or 42.7 for a task")]
pub struct InvalidJobRef(String);

/// What was asked for, with everything resolved that can be before it reaches the coordinator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Free text for people; the command's name where nothing was given.
    pub name: String,
    /// Program and arguments; never empty.
    pub command: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub image: Image,
    /// What opens the image's registry, for the coordinator's eyes alone. Never in an answer.
    #[serde(default)]
    pub registry_login: Option<Sealed>,
    /// The folder that was sent along.
    pub workdir: Option<TreeId>,
    /// Of each task.
    pub request: Request,
    pub datasets: Vec<DatasetMount>,
    /// Paths in the work folder that are kept, besides everything under `/output`.
    pub outputs: Vec<String>,
    pub network: Network,
    /// Besides what the org asks for.
    #[serde(default)]
    pub isolation: Option<MinIsolation>,
    pub priority: Priority,
    /// Of each attempt; `None` is the org's limit.
    pub max_runtime: Option<Span>,
    pub retries: Retries,
    /// `None` is a job of one task, with index 0.
    pub array: Option<ArraySpec>,
    /// That it belongs to.
    #[serde(default)]
    pub project: Option<Name>,
    /// Of a job of no project; `None` is what the org says.
    #[serde(default)]
    pub visibility: Option<Visibility>,
    /// Secrets that it finds as variables of these names; their values are nowhere in it.
    #[serde(default)]
    pub secrets: Vec<SecretName>,
    /// What other jobs left, which it reads like datasets.
    #[serde(default)]
    pub artifacts: Vec<ArtifactMount>,
    /// What has to become of other jobs before it enters the queue.
    #[serde(default)]
    pub after: Vec<After>,
    /// It starts nothing before it is released.
    #[serde(default)]
    pub hold: bool,
    /// What a machine has to be said to have, or not to have.
    #[serde(default)]
    pub labels: Vec<WantedLabel>,
    /// On how many machines it runs at once, as a gang: a task on each, that start and end together. Not of an array.
    #[serde(default)]
    pub nodes: Option<u32>,
    /// How it is told to write down how far it is, where it can go on from there.
    #[serde(default)]
    pub checkpoint: Option<Checkpoint>,
    /// A line of parameters for each task of its array.
    #[serde(default)]
    pub params: Option<TreeId>,
    /// What a sandbox is for; `None` is the whole job.
    #[serde(default)]
    pub sandbox: Option<SandboxScope>,
}

impl JobSpec {
    /// Returns a job of this program and its arguments, with nothing else asked for.
    pub fn of(command: Vec<String>) -> Self {
        Self {
            name: command.first().cloned().unwrap_or_default(),
            command,
            env: BTreeMap::new(),
            image: Image::Host,
            registry_login: None,
            workdir: None,
            request: Request::default(),
            datasets: Vec::new(),
            outputs: Vec::new(),
            network: Network::None,
            isolation: None,
            priority: Priority::Normal,
            max_runtime: None,
            retries: Retries::default(),
            array: None,
            project: None,
            visibility: None,
            secrets: Vec::new(),
            artifacts: Vec::new(),
            after: Vec::new(),
            hold: false,
            labels: Vec::new(),
            nodes: None,
            checkpoint: None,
            params: None,
            sandbox: None,
        }
    }
}

impl JobSpec {
    pub fn task_count(&self) -> u32 {
        let tasks = self.array.as_ref().map(ArraySpec::task_count);
        tasks.or(self.gang()).unwrap_or(1)
    }

    /// Returns what its submitter sends along: the folder, and parameters.
    pub fn sent(&self) -> impl Iterator<Item = TreeId> + use<> {
        self.workdir.into_iter().chain(self.params)
    }

    /// Returns how many tasks its gang has, where it is one.
    pub fn gang(&self) -> Option<u32> {
        self.nodes.filter(|nodes| *nodes > 1)
    }
}

/// How many tasks of a job are in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCounts {
    pub queued: u32,
    pub running: u32,
    pub succeeded: u32,
    pub failed: u32,
    pub cancelled: u32,
}

impl TaskCounts {
    pub const fn total(&self) -> u32 {
        self.queued + self.running + self.succeeded + self.failed + self.cancelled
    }
}

/// A job in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSummary {
    pub id: JobId,
    pub number: JobNumber,
    pub name: String,
    /// Handle of the user who submitted it.
    pub owner: Name,
    pub project: Option<Name>,
    pub status: JobStatus,
    pub priority: Priority,
    pub tasks: TaskCounts,
    pub submitted_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// Machines that run it now, at most a few.
    pub machines: Vec<Name>,
    /// Exit code that stands for the whole job once it has ended: see [`Outcome::exit_code`].
    pub exit_code: Option<i32>,
    /// Starts nothing before it is released.
    pub held: Option<HoldView>,
    /// How many conditions about other jobs it still waits for.
    pub awaits: u32,
}

/// A job with everything that is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobDetail {
    pub summary: JobSummary,
    pub spec: JobSpec,
    /// By task and number; at most as many as were asked for.
    pub attempts: Vec<AttemptView>,
    /// Attempts that were left out of the list.
    pub attempts_left_out: u64,
    /// Where it needed one: how it stands, or who decided and why.
    pub approval: Option<Box<ApprovalView>>,
    /// Of which it runs tasks again.
    pub rerun_of: Option<JobNumber>,
    /// Which run tasks of it again, the newest [`MAX_RERUNS_SHOWN`].
    pub reruns: Vec<JobNumber>,
    /// What it waits or waited for, in the order of the specification.
    pub after: Vec<AfterView>,
    /// Where it was cancelled because one of these can never be met any more.
    pub unmet: Option<Unmet>,
    /// Tasks that wait until they are tried again, those that come first; at most [`MAX_DELAYED_SHOWN`].
    pub delayed: Vec<DelayedTask>,
    /// Such tasks that were left out of the list.
    pub delayed_left_out: u64,
}

/// A task that waits for a moment before it is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelayedTask {
    pub task: u32,
    pub until: Timestamp,
    /// How the last try ended.
    pub after: EndReason,
}

/// One try of a task on one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptView {
    pub task: u32,
    pub number: u32,
    pub machine: Name,
    pub status: AttemptStatus,
    pub allocation: Allocation,
    pub placed_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub outcome: Option<Outcome>,
    pub artifacts: ArtifactsView,
    /// Of artifacts that are stored: when the org forgets them; `None` where it never does.
    pub artifacts_kept_until: Option<Timestamp>,
    /// What it used lately, oldest first; only while it runs, and at most [`crate::usage::MAX_SAMPLES`].
    pub samples: Vec<UsageSample>,
    /// Where it gave way, or is about to: to what.
    pub preempted_by: Option<PreemptedBy>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub reason: EndReason,
    /// Of the program, where it exited.
    pub exit_code: Option<i32>,
    /// That ended the program, where one did.
    pub signal: Option<i32>,
    /// What a person should know besides: the program not found, the limit that was reached.
    pub detail: Option<String>,
    pub usage: AttemptUsage,
    /// Length of the whole log in bytes (see [`crate::logs`]); the log is complete once so much is there.
    pub log_bytes: u64,
}

impl Outcome {
    /// Returns whether the task did what it should.
    pub const fn succeeded(&self) -> bool {
        matches!((self.reason, self.exit_code), (EndReason::Exited, Some(0)))
    }

    /// Returns what a shell would call it: the program's code, 128 plus the signal, 125 for our own failure.
    pub const fn exit_code(&self) -> i32 {
        match (self.reason, self.exit_code, self.signal) {
            (EndReason::PrepareFailed, Some(code), _) => code,
            (EndReason::Exited, Some(code), _) => code,
            (_, _, Some(signal)) => 128 + signal,
            _ => 125,
        }
    }
}

/// What an attempt consumed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptUsage {
    pub wall: Span,
    pub cpu: Span,
    pub peak_memory: Option<Bytes>,
    /// Part of the wall time in which the machine's owner had it frozen.
    #[serde(default)]
    pub frozen: Span,
    /// Through the machine's proxy; zero where the job had no network or one that is not counted.
    #[serde(default)]
    pub sent: Bytes,
    #[serde(default)]
    pub received: Bytes,
    #[serde(default)]
    pub peak_disk: Option<Bytes>,
    #[serde(default)]
    pub peak_gpu_memory: Option<Bytes>,
}

/// Where an attempt's files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactsView {
    /// It has not ended.
    NotYet,
    /// It left none.
    None,
    /// On their way from the machine.
    Pending,
    Stored {
        tree: TreeId,
        bytes: Bytes,
        files: u64,
    },
    /// They could not be kept; the attempt's log says why.
    Lost,
    /// They were kept for as long as the org keeps such things.
    Forgotten {
        at: Timestamp,
        bytes: Bytes,
        files: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_follow_the_shell() {
        let outcome = |reason, exit_code, signal| Outcome {
            reason,
            exit_code,
            signal,
            detail: None,
            usage: AttemptUsage::default(),
            log_bytes: 0,
        };
        assert_eq!(outcome(EndReason::Exited, Some(3), None).exit_code(), 3);
        assert_eq!(
            outcome(EndReason::Signalled, None, Some(9)).exit_code(),
            137
        );
        assert_eq!(
            outcome(EndReason::PrepareFailed, Some(127), None).exit_code(),
            127
        );
        assert_eq!(outcome(EndReason::MachineLost, None, None).exit_code(), 125);
        assert!(outcome(EndReason::Exited, Some(0), None).succeeded());
        assert!(!outcome(EndReason::TimeLimit, None, Some(15)).succeeded());
    }

    #[test]
    fn job_references_are_numbers() {
        assert_eq!(
            "42.7".parse(),
            Ok(JobRef {
                number: JobNumber(42),
                task: Some(7)
            })
        );
        assert_eq!(
            "42".parse(),
            Ok(JobRef {
                number: JobNumber(42),
                task: None
            })
        );
        for bad in ["", "0", "-1", "42.", "42.x", "job"] {
            assert!(bad.parse::<JobRef>().is_err(), "{bad}");
        }
    }
}
