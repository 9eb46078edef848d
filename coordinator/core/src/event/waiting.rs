//! What happens to jobs that wait for others, or that somebody holds.

use common::{id::JobId, id::UserId, status::EndReason, time::Timestamp};
use serde::Serialize;

use crate::state::rows::RowKey;

pub use crate::state::waiting::{Awaited, Broken, Hold};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum WaitingEvent {
    /// What it waited for has come to be.
    DependencyMet {
        job: JobId,
        awaited: Awaited,
        at: Timestamp,
    },
    /// What it waited for can never be any more; that it is cancelled is told by events of their own.
    DependencyBroken { job: JobId, broken: Broken },
    /// It starts no more tasks.
    JobHeld {
        job: JobId,
        by: UserId,
        at: Timestamp,
    },
    JobReleased {
        job: JobId,
        by: UserId,
        at: Timestamp,
    },
    /// Tasks that would be tried again now wait for what their last try left, at most until then.
    RetriesPutOff {
        job: JobId,
        tasks: Vec<u32>,
        until: Timestamp,
    },
    /// All tasks of a gang wait again, or do from a moment on, and how the last try ended.
    GangRestarted {
        job: JobId,
        later: Option<(Timestamp, EndReason)>,
    },
}

impl WaitingEvent {
    pub const fn job(&self) -> JobId {
        match self {
            Self::DependencyMet { job, .. }
            | Self::DependencyBroken { job, .. }
            | Self::JobHeld { job, .. }
            | Self::JobReleased { job, .. }
            | Self::RetriesPutOff { job, .. }
            | Self::GangRestarted { job, .. } => *job,
        }
    }

    /// Returns the rows to write again once the event is applied.
    pub(super) fn touched(&self) -> Vec<RowKey> {
        vec![RowKey::progress(self.job())]
    }
}
