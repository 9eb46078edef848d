//! What is asked of jobs besides submitting and cancelling one.

use common::{
    api::job::{HoldJob, RerunJob, SubmitGraph},
    id::JobId,
};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobCommand {
    Hold(HoldJob),
    Release(HoldJob),
    /// A job for each of the graph, in its order.
    SubmitGraph {
        jobs: Vec<JobId>,
        request: SubmitGraph,
    },
    /// The job is for what runs again.
    Rerun {
        job: JobId,
        request: RerunJob,
    },
}
