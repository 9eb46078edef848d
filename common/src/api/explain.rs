//! Why a job waits, or why it can never run.

use serde::{Deserialize, Serialize};

use crate::{
    job::JobNumber,
    name::Name,
    preemption::MayPreempt,
    status::JobStatus,
    time::{Span, Timestamp},
    units::Bytes,
};

/// Most machines that are named behind one blocker; the count is always exact.
pub const MAX_NAMED_MACHINES: usize = 8;

/// Everything that keeps a job from starting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// `None` for a job that is only asked about.
    pub number: Option<JobNumber>,
    pub status: JobStatus,
    /// All of them; empty where the job runs, has ended or would start at once.
    pub blockers: Vec<Blocker>,
    /// Whether no machine of the org, even idle, could ever run it, or a limit forbids it for good.
    pub never: bool,
    /// The smallest change that would start it, in words.
    pub smallest_change: Option<String>,
    /// Tasks that come before it, where it waits.
    pub ahead: Option<u64>,
    /// When a machine that fits should be free, by the run-time limits of what runs now.
    pub expected_start: Option<Timestamp>,
    /// What of its data is already on the machines that could run it, at most [`MAX_NAMED_MACHINES`]; those first that
    /// have all of it soonest. Empty for a job without data.
    #[serde(default)]
    pub data: Vec<MachineData>,
    /// Machines that are kept free for it, at most [`MAX_NAMED_MACHINES`].
    #[serde(default)]
    pub kept: Vec<Name>,
    /// Whether it may take the place of others, as things are.
    #[serde(default)]
    pub preempts: Option<MayPreempt>,
}

/// What a machine has of a job's data, and what it would have to fetch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineData {
    pub machine: Name,
    pub there: Bytes,
    pub missing: Bytes,
    /// About how long that takes, at the rate at which data came to the machine lately; where it has not said so, at a
    /// guessed one.
    pub fetch_time: Span,
    /// All that in words: `41 GiB already there`.
    pub text: String,
}

/// One thing in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocker {
    pub code: BlockerCode,
    /// With the values involved: what is asked, what there is, where a limit comes from.
    pub text: String,
    /// How many machines it keeps out; 0 for what does not depend on a machine.
    pub machine_count: u32,
    pub machines: Vec<Name>,
}

/// What kind of thing is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockerCode {
    /// The org has no approved machine.
    NoMachine,
    MachineOffline,
    MachinePaused,
    /// The machine's isolation is too weak for jobs of other members.
    IsolationTooLow,
    /// The machine cannot do what the job asks for (network).
    NotSupported,
    /// The machine lends less than asked for, even when idle.
    TooSmallCpu,
    TooSmallMemory,
    TooSmallDisk,
    /// It has no GPU, or not enough, of the model or memory asked for.
    NoSuchGpu,
    /// It has enough, but other jobs hold it now.
    BusyCpu,
    BusyMemory,
    BusyDisk,
    /// Jobs, other processes or a fault keep the GPU.
    BusyGpu,
    /// The last attempt failed there; another machine comes first.
    FailedThere,
    MemberConcurrentLimit,
    JobMemoryLimit,
    JobRuntimeLimit,
    /// The array's own bound.
    ArrayParallelism,
    /// Other jobs come first.
    Queue,
    /// The machine's owner does not let this member in.
    OwnerKeepsOut,
    /// The machine's owner does not allow the network that the job asks for.
    OwnerForbidsNetwork,
    /// The machine's owner does not allow images.
    OwnerForbidsImages,
    /// The machine's owner allows shorter runs only.
    OwnerLimitsRuntime,
    /// The org's tasks together hold as much of a compute resource as they may.
    OrgResourceLimit,
    /// The member's tasks hold as much of a compute resource as they may.
    MemberResourceLimit,
    /// The machine's GPUs are of a model of which no more may be held.
    GpuModelLimit,
    /// The member has as many waiting tasks as may be.
    MemberQueuedLimit,
    /// The org keeps as many artifacts as it may.
    ArtifactStorageLimit,
    /// An admin has to let it into the queue.
    AwaitsApproval,
    /// Its project is archived.
    ProjectArchived,
    /// The machine's cache cannot take all the data that the job reads.
    TooSmallCache,
    /// The machine is kept free for a job that comes first.
    MachineReserved,
    /// Something has to become of another job first.
    AwaitsJob,
    /// Somebody keeps it from starting until they release it.
    Held,
    /// The task ended by what the next machine may end the same way, and is tried again later.
    BackingOff,
    /// Job after job failed on the machine, which gets nothing new for a while.
    MachineSetAside,
    /// The machine waits for approval.
    MachinePending,
    /// The machine's owner lends no processor or no memory.
    LendsNothing,
    /// The task is next in the place of a running one of its job.
    WaitsBehind,
    /// The machine has not a label that is wanted, or has one that is not.
    LabelMissing,
    /// It wants the machine to itself, and something runs there.
    MachineInUse,
    /// Somebody has the machine to themselves.
    HeldExclusively,
    /// It would hold all of the machine, which is more than limits allow.
    WholeMachineLimit,
    /// It needs several machines at once, and too few have room.
    TooFewMachines,
}

impl BlockerCode {
    /// Returns whether a job that meets it is not even taken to wait.
    pub fn refuses_submission(self) -> bool {
        matches!(self, Self::MemberQueuedLimit | Self::ArtifactStorageLimit)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoMachine => "no_machine",
            Self::MachineOffline => "machine_offline",
            Self::MachinePaused => "machine_paused",
            Self::IsolationTooLow => "isolation_too_low",
            Self::NotSupported => "not_supported",
            Self::TooSmallCpu => "too_small_cpu",
            Self::TooSmallMemory => "too_small_memory",
            Self::TooSmallDisk => "too_small_disk",
            Self::NoSuchGpu => "no_such_gpu",
            Self::BusyCpu => "busy_cpu",
            Self::BusyMemory => "busy_memory",
            Self::BusyDisk => "busy_disk",
            Self::BusyGpu => "busy_gpu",
            Self::FailedThere => "failed_there",
            Self::MemberConcurrentLimit => "member_concurrent_limit",
            Self::JobMemoryLimit => "job_memory_limit",
            Self::JobRuntimeLimit => "job_runtime_limit",
            Self::ArrayParallelism => "array_parallelism",
            Self::Queue => "queue",
            Self::OwnerKeepsOut => "owner_keeps_out",
            Self::OwnerForbidsNetwork => "owner_forbids_network",
            Self::OwnerForbidsImages => "owner_forbids_images",
            Self::OwnerLimitsRuntime => "owner_limits_runtime",
            Self::OrgResourceLimit => "org_resource_limit",
            Self::MemberResourceLimit => "member_resource_limit",
            Self::GpuModelLimit => "gpu_model_limit",
            Self::MemberQueuedLimit => "member_queued_limit",
            Self::ArtifactStorageLimit => "artifact_storage_limit",
            Self::AwaitsApproval => "awaits_approval",
            Self::ProjectArchived => "project_archived",
            Self::TooSmallCache => "too_small_cache",
            Self::MachineReserved => "machine_reserved",
            Self::AwaitsJob => "awaits_job",
            Self::Held => "held",
            Self::BackingOff => "backing_off",
            Self::MachineSetAside => "machine_set_aside",
            Self::MachinePending => "machine_pending",
            Self::LendsNothing => "lends_nothing",
            Self::WaitsBehind => "waits_behind",
            Self::LabelMissing => "label_missing",
            Self::MachineInUse => "machine_in_use",
            Self::HeldExclusively => "held_exclusively",
            Self::WholeMachineLimit => "whole_machine_limit",
            Self::TooFewMachines => "too_few_machines",
        }
    }
}
