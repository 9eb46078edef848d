//! What a command line opens towards the coordinator.
//!
//! The connection's first stream carries [`super::Hello`] both ways; requests need not wait for the answer.
//! Every further bidirectional stream begins with a [`ClientStream`] that says what it is for.

use serde::{Deserialize, Serialize};

use super::data::Announced;
use crate::{
    id::{OrgId, TreeId},
    job::JobNumber,
    name::Name,
};

/// The first frame of a command line's stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientStream {
    /// One [`crate::api::Request`] follows, then its answer (or a problem) comes.
    Request,
    /// A tree goes up; see [`super::data`].
    Upload {
        org: OrgId,
        announced: Announced,
        purpose: UploadPurpose,
    },
    /// The description of a tree comes down.
    Download { org: OrgId, source: DownloadSource },
    /// Chunks of a tree come down, which was described as the source's.
    Chunks {
        org: OrgId,
        source: DownloadSource,
        tree: TreeId,
    },
    /// Pieces of an upload go up, which began on this connection's stream of that number.
    Pieces { upload: u64 },
}

/// What a tree that goes up will be, as far as it is known: where it counts is checked before anything moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum UploadPurpose {
    /// The work folder of a job.
    Workdir { project: Option<Name> },
    /// A version of a dataset, or of an image.
    Dataset { name: Name, project: Option<Name> },
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
