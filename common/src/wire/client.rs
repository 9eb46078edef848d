//! What a command line opens towards the coordinator.
//!
//! The connection's first stream carries [`super::Hello`] both ways; requests need not wait for the answer.
//! Every further bidirectional stream begins with a [`ClientStream`] that says what it is for.

use serde::{Deserialize, Serialize};

use crate::{id::OrgId, job::JobNumber, name::Name};

/// The first frame of a command line's stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientStream {
    /// One [`crate::api::Request`] follows, then its answer (or a problem) comes.
    Request,
    /// A tree goes up; see [`super::data`].
    Upload { org: OrgId },
    /// A tree comes down.
    Download { org: OrgId, source: DownloadSource },
}

/// Where a tree that somebody wants comes from. What the caller may not see is not found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DownloadSource {
    Dataset {
        name: Name,
        /// `None` is the newest.
        version: Option<u32>,
    },
    /// What an attempt of a task left. Waits while that is on its way.
    Artifacts {
        job: JobNumber,
        task: u32,
        /// `None` is the newest.
        attempt: Option<u32>,
    },
}
