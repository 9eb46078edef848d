//! What is asked of jobs besides submitting and cancelling one.

use common::{
    api::job::{HoldJob, RerunJob},
    id::JobId,
};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobCommand {
    Hold(HoldJob),
    Release(HoldJob),
    /// The job is for what runs again.
    Rerun {
        job: JobId,
        request: RerunJob,
    },
}
