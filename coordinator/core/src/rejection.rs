//! Rejections: everything that the coordinator says no to, as values. The words are made here once.

mod account;
pub mod approval;
mod artifact;
mod dataset;
pub mod invitation;
mod org;
pub mod project;
pub mod rerun;
pub mod secret;
pub mod waiting;
mod words;

use common::{
    api::explain::Explanation,
    dataset::DatasetRef,
    job::{IndexRange, InvalidArray, InvalidMount, JobNumber, MAX_NODES, graph::InvalidGraph},
    machine::InvalidReport,
    name::Name,
    problem::Problem,
    seal::MAX_SEALED_BYTES,
    status::{JobStatus, Role},
    time::{Span, Timestamp},
    units::Bytes,
};

use self::invitation::InvitationRejection;
pub use self::{account::AccountRejection, artifact::ArtifactRejection, dataset::DatasetRejection};

use crate::{
    policy::Action,
    schedule::explain::{Subject, nearest_offer},
    state::{State, dataset::Dataset, job::Job},
};

pub use self::org::OrgRejection;

/// What a version once was that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Was {
    Never,
    Deleted,
    /// Deleted, and kept for a while.
    Restorable {
        until: Timestamp,
    },
    /// Of a dataset that had the name before.
    Another,
}

/// Why a command changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// The door let through what this kind of caller cannot ask.
    WrongCaller,
    NotAllowed {
        action: Action,
        role: Role,
    },

    NoSuchOrg,
    NoSuchMember {
        handle: Name,
    },
    NoSuchInvitation,
    NoSuchMachine {
        name: Option<Name>,
    },
    NoSuchDataset {
        name: Name,
    },
    NoSuchVersion {
        dataset: DatasetRef,
        /// The first and the newest that are or were.
        bounds: (u32, u32),
        was: Was,
    },
    NoSuchJob {
        number: JobNumber,
    },
    NoSuchTask {
        number: JobNumber,
        task: u32,
        /// Those that it has: `0-9,20`.
        tasks: String,
    },
    NoSuchAttempt,
    /// The attempt is not this machine's to run, or has no login.
    NoLogin,
    NoArtifacts {
        number: JobNumber,
        task: u32,
        lost: bool,
    },

    /// An org, user, machine or dataset has the name.
    NameTaken {
        noun: &'static str,
        name: Name,
    },
    HandleMissing,
    OwnerStays {
        handle: Name,
    },
    OwnerRole,
    InvitationUses {
        uses: u32,
    },
    InvitationLife,
    InvitationCodes,

    CodeInvalid,
    CodeUsed,
    CodeExpired {
        at: Timestamp,
    },
    CodeRevoked,
    CertificateUnknown,
    CertificateRevoked,
    CertificateExpired {
        at: Timestamp,
        now: Timestamp,
    },

    MachineState {
        name: Name,
        state: &'static str,
        step: &'static str,
    },
    MachinePending {
        name: Name,
    },
    MachineRejected {
        name: Name,
        reason: String,
    },
    MachineRemoved {
        name: Name,
    },
    Report(InvalidReport),
    ReportOrder,

    DatasetText,
    /// Of one user or machine, all of them good.
    TooManyCertificates {
        most: usize,
    },
    TooManyVersions {
        name: Name,
        most: u32,
    },
    /// Of one member.
    TooManyLimits {
        most: usize,
    },
    DryRun,
    Job(InvalidJob),
    KeyConflict {
        number: JobNumber,
    },
    JobEnded {
        number: JobNumber,
        status: JobStatus,
    },
    TaskEnded {
        number: JobNumber,
        task: u32,
    },
    Account(AccountRejection),
    /// All bounds that are met.
    Limit(Vec<LimitReached>),
    NeverFits {
        /// The machine that comes nearest, and what it lends.
        nearest: Option<(Name, String)>,
        explanation: Box<Explanation>,
    },
    Org(OrgRejection),
    Project(project::ProjectRejection),

    Invitation(InvitationRejection),
    Secret(secret::SecretRejection),
    Approval(approval::ApprovalRejection),
    Dataset(DatasetRejection),
    Artifact(ArtifactRejection),
    Waiting(waiting::WaitingRejection),
    Rerun(rerun::RerunRejection),
    Graph(InvalidGraph),
    /// Of this job of a graph.
    OfGraph {
        name: Name,
        rejection: Box<Self>,
    },
}

/// What is wrong with a job's specification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJob {
    #[error("it has no command")]
    NoCommand,
    #[error("{what}: {count} of them, {most} are possible")]
    TooMany {
        what: &'static str,
        count: usize,
        most: usize,
    },
    #[error("its arguments and variables have {bytes} bytes together, {most} are possible")]
    TooLong { bytes: usize, most: usize },
    #[error("an argument, variable or path holds a zero byte")]
    Nul,
    #[error("its name is longer than {most} bytes or not plain text")]
    Name { most: usize },
    #[error("{name:?} cannot be the name of a variable: {why}")]
    Variable { name: String, why: &'static str },
    #[error(transparent)]
    Array(#[from] InvalidArray),
    #[error("{path:?}: {source}")]
    Mount { path: String, source: InvalidMount },
    #[error("two datasets are to appear at {path:?}, or one inside the other")]
    MountTwice { path: String },
    #[error("{path:?} is not a plain path inside the work folder")]
    Output { path: String },
    #[error("it asks for {what}, the least is {least}")]
    TooLittle {
        what: &'static str,
        least: &'static str,
    },
    #[error("it asks for more {what} than any machine has")]
    TooMuch { what: &'static str },
    #[error("it asks for {max} retries, {most} are possible")]
    Retries { max: u32, most: u32 },
    #[error("its retries wait {backoff} at first, {most} is possible")]
    Backoff { backoff: Span, most: Span },
    #[error("{grace} for a checkpoint is no time; it has more than nothing, and at most {most}")]
    Checkpoint { grace: Span, most: Span },
    #[error("it asks for {nodes} machines at once; 1 to {MAX_NODES} are possible")]
    Nodes { nodes: u32 },
    #[error("it is an array and asks for several machines at once (nodes); it can be one of both")]
    NodesOfArray,
    #[error("it has a line of parameters for each task and is no array")]
    ParamsWithoutArray,
    #[error(
        "it asks for several machines at once (nodes) and for more memory with each try; it can be one of both"
    )]
    NodesGrow,
    #[error("its GPUs are to have at least {least} of memory and at most {most}")]
    GpuMemory { least: Bytes, most: Bytes },
    #[error("it asks for a share of a GPU, which is of one size, and says a most of its memory")]
    ShareRange,
    #[error("its image {image} has no digest, so that it could be another one on every machine")]
    NotPinned { image: String },
    #[error("what opens its image's registry is longer than {MAX_SEALED_BYTES} bytes")]
    LoginTooLong,
    #[error("it brings what opens a registry, and its image comes from none")]
    LoginWithoutRegistry,
}

/// A bound that was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitReached {
    /// As in the limits file.
    pub limit: String,
    pub value: String,
    pub asked: String,
    /// What counts against it now, where something does.
    pub current: Option<String>,
    /// Where it comes from: `in the limits of org lab`, `set for bob by alice`.
    pub source: String,
}

impl LimitReached {
    /// Returns `max_queued_jobs_per_user is 3 in the limits of org lab; 2 tasks wait now`.
    pub(crate) fn bound(&self) -> String {
        let Self {
            limit,
            value,
            source,
            ..
        } = self;
        let current = self.current.as_ref();
        let current = current.map_or_else(String::new, |current| format!("; {current} now"));
        format!("{limit} is {value} {source}{current}")
    }
}

impl Rejection {
    /// Returns what to say where this version of the dataset is not there.
    pub(crate) fn no_such_version(dataset: &Dataset, wanted: &DatasetRef) -> Self {
        let row = wanted
            .version
            .and_then(|number| dataset.any_version(number));
        let was = match (row.and_then(|row| row.deleted), row, wanted.version) {
            (Some(deleted), ..) => Was::Restorable {
                until: deleted.until,
            },
            (None, Some(_), _) => Was::Deleted,
            (None, None, Some(number)) if number < dataset.first => Was::Another,
            (None, None, _) => Was::Never,
        };
        Self::NoSuchVersion {
            dataset: wanted.clone(),
            bounds: (dataset.first, dataset.newest()),
            was,
        }
    }

    /// Returns the same, said of a job of a graph.
    pub(crate) fn of_graph(self, name: Name) -> Self {
        let rejection = Box::new(self);
        Self::OfGraph { name, rejection }
    }

    pub(crate) fn no_such_task(job: &Job, task: u32) -> Self {
        const MOST_RANGES: usize = 8;
        let ranges = job.ranges();
        let named = ranges.iter().take(MOST_RANGES).map(IndexRange::to_string);
        let mut tasks = named.collect::<Vec<_>>().join(",");
        if ranges.len() > MOST_RANGES {
            tasks += ",…";
        }
        Self::NoSuchTask {
            number: job.number,
            task,
            tasks,
        }
    }

    pub(crate) fn never_fits(
        state: &State,
        subject: &Subject<'_>,
        explanation: Explanation,
    ) -> Self {
        Self::NeverFits {
            nearest: nearest_offer(state, subject),
            explanation: Box::new(explanation),
        }
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        rejection.problem()
    }
}

impl From<InvalidGraph> for Rejection {
    fn from(invalid: InvalidGraph) -> Self {
        Self::Graph(invalid)
    }
}

impl From<InvalidJob> for Rejection {
    fn from(invalid: InvalidJob) -> Self {
        Self::Job(invalid)
    }
}
