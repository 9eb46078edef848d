//! What an org has stored, below its datasets: pieces, what nothing needs any more, and whether all of it is whole.

use serde::{Deserialize, Serialize};

use crate::{
    id::{ChunkId, OrgId},
    org::storage::StoragePlace,
    problem::Problem,
    time::Timestamp,
    units::Bytes,
};

/// Most damaged pieces that are named.
pub const MAX_DAMAGED: usize = 100;

/// One question or command about what an org has stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StorageRequest {
    /// Takes away what nothing needs, as happens by itself after a deletion and once a day.
    Collect {
        org: OrgId,
        /// Only say what would go.
        dry_run: bool,
    },
    /// Where the org's bytes live, and how far they have moved. Answered by [`StorageAnswer::Whereabouts`].
    Show { org: OrgId },
}

/// The answer to a [`StorageRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StorageAnswer {
    Collected(StorageReport),
    Whereabouts(Whereabouts),
}

/// Where an org's bytes are, without descriptions of folders, which are on the coordinator's disk in any case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whereabouts {
    /// Where they are to be: new ones go there.
    pub storage: StoragePlace,
    /// The bucket that some of them are in.
    pub bucket: Option<StoragePlace>,
    /// On the coordinator's disk.
    pub local: Bytes,
    /// In the bucket.
    pub remote: Bytes,
    /// Not all of them are where they are to be yet.
    pub moving: bool,
    /// Why the move does not go on; it is tried again.
    pub held_up: Option<Problem>,
}

/// What went, or would go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageReport {
    /// Nothing was changed.
    pub dry_run: bool,
    /// Of deleted datasets, and of uploads that nobody gave a name.
    pub trees: u64,
    /// That no other tree has.
    pub pieces: u64,
    pub bytes: Bytes,
    /// There are more than were counted: trees that go have millions of pieces.
    pub more: bool,
    /// Trees that would go if they were not being sent or named just now.
    pub held: u64,
    pub kept: StoredNow,
    /// The newest look through everything that is stored; `None` before the first has ended.
    pub scrub: Option<Scrub>,
}

/// What is stored after it, or now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StoredNow {
    pub trees: u64,
    /// On the disk or in the org's bucket, without the index.
    pub bytes: Bytes,
    /// Of that nothing has; given back as soon as it is worth it.
    pub dead: Bytes,
}

/// A look through everything: each piece read and compared with its checksum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scrub {
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
    pub pieces: u64,
    pub bytes: Bytes,
    /// How many pieces and descriptions were damaged. The next upload of the same files makes them whole.
    pub damaged: u64,
    /// The first of the pieces.
    pub named: Vec<ChunkId>,
}
