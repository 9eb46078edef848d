//! What is asked of jobs besides submitting and cancelling.

use common::api::job::HoldJob;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobCommand {
    Hold(HoldJob),
    Release(HoldJob),
}
