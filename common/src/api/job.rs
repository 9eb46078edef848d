//! Jobs: submit, look, follow, hold, cancel.

use serde::{Deserialize, Serialize};

use crate::{
    id::{IdempotencyKey, JobId, OrgId},
    job::{After, ArraySpec, JobNumber, JobSpec, JobSummary, graph::Need},
    name::Name,
    status::JobStatus,
};

/// Most attempts that one follower can resume; more begin at the start of their log.
pub const MAX_CURSORS: usize = 1024;
/// Most jobs that one command cancels, holds or releases with the one that they wait for.
pub const MAX_DEPENDANTS: usize = 10_000;
/// Most of them that are named.
pub const MAX_DEPENDANTS_NAMED: usize = 8;
/// Most bytes of log in one event.
pub const MAX_LOG_EVENT_BYTES: usize = 256 << 10;

/// Submits a job, or with `dry_run` only asks what would happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitJob {
    pub org: OrgId,
    pub spec: JobSpec,
    /// Sent again with the same key, the same job is the answer.
    pub key: IdempotencyKey,
    /// Answered by [`super::Answer::Explanation`]; nothing is changed.
    pub dry_run: bool,
}

/// A job that is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    pub id: JobId,
    pub number: JobNumber,
    /// Queued, or what it waits for first.
    pub status: JobStatus,
    /// What it still waits for of other jobs.
    pub awaits: Vec<After>,
    /// It waits to be released.
    pub held: bool,
}

/// Newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListJobs {
    pub org: OrgId,
    /// Empty is any.
    pub status: Vec<JobStatus>,
    pub owner: Option<Name>,
    pub project: Option<Name>,
    /// Only jobs before this number, for the next page.
    pub before: Option<JobNumber>,
    /// At most [`super::MAX_ROWS`].
    pub limit: u32,
}

/// One job with its attempts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShowJob {
    pub org: OrgId,
    pub number: JobNumber,
    /// Only this task.
    pub task: Option<u32>,
    /// Attempts to list, at most [`super::MAX_ROWS`].
    pub attempts: u32,
    /// Only those that have not ended.
    #[serde(default)]
    pub live: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelJob {
    pub org: OrgId,
    pub number: JobNumber,
    /// Only this task.
    pub task: Option<u32>,
    /// Also all that waits for it, and for that in turn; of a whole job only.
    #[serde(default)]
    pub dependants: bool,
}

/// What is asked of jobs besides what [`super::Request`] names itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobRequest {
    /// Lets it start no more tasks; what runs goes on.
    Hold(HoldJob),
    Release(HoldJob),
    /// What waits for it, and for that in turn, as far as the caller may cancel it.
    CountDependants {
        org: OrgId,
        number: JobNumber,
    },
    /// Runs tasks of a job that has ended again, as a job of its own.
    Rerun(RerunJob),
    /// Several jobs at once that wait for one another: all of them or none.
    SubmitGraph(SubmitGraph),
}

/// The answer to a [`JobRequest`] that asks for more than that something be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobAnswer {
    Dependants(Dependants),
    Rerun(Rerun),
    /// In the order of the graph.
    Graph(Vec<Submitted>),
}

/// Holds or releases a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldJob {
    pub org: OrgId,
    pub number: JobNumber,
    /// Also all that waits for it, and for that in turn.
    pub dependants: bool,
}

/// Submits a job that has ended once more: with the same datasets' versions and work folder, and the tasks' indices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RerunJob {
    pub org: OrgId,
    pub number: JobNumber,
    /// Only those that failed.
    pub failed: bool,
    /// Only these; how many at once is the job's own.
    pub tasks: Option<ArraySpec>,
    /// Sent again with the same key, the same job is the answer.
    pub key: IdempotencyKey,
}

/// A job that runs tasks of another one again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rerun {
    pub submitted: Submitted,
    /// How many tasks it has.
    pub tasks: u32,
}

/// Submits a graph of jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitGraph {
    pub org: OrgId,
    /// At most [`crate::job::graph::MAX_GRAPH_JOBS`].
    pub jobs: Vec<GraphJob>,
    /// Sent again with the same key, the same jobs are the answer.
    pub key: IdempotencyKey,
}

/// One job of a graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphJob {
    /// In the graph; the specification has its own.
    pub name: Name,
    /// What it says to wait for are jobs that are there already.
    pub spec: JobSpec,
    /// What it waits for in the graph.
    pub needs: Vec<Need>,
}

/// Jobs that wait for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependants {
    pub count: u32,
    /// The first of them by number, at most [`MAX_DEPENDANTS_NAMED`].
    pub first: Vec<JobNumber>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainJob {
    pub org: OrgId,
    pub number: JobNumber,
}

/// Follows a job: its state, and its log where asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowJob {
    pub org: OrgId,
    pub number: JobNumber,
    pub task: Option<u32>,
    pub logs: bool,
    /// Whether to go on until the job has ended and its log is complete; otherwise what is there is sent.
    pub until_end: bool,
    /// Where a follower that lost its connection goes on. At most [`MAX_CURSORS`].
    pub cursors: Vec<LogCursor>,
}

/// How much of an attempt's log a follower already has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogCursor {
    pub task: u32,
    pub attempt: u32,
    /// In bytes; see [`crate::logs`].
    pub offset: u64,
}

/// What a follower is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FollowEvent {
    /// The job's state, at the beginning and whenever it changes.
    Status(JobSummary),
    /// Whole records of one attempt's log (see [`crate::logs`]), beginning at the cursor.
    Log { cursor: LogCursor, records: Vec<u8> },
    /// Nothing more will come.
    End,
}
