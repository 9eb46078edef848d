//! How trees travel, whoever sends them.
//!
//! The sender describes the tree in [`TreePart`]s. The receiver answers with [`Wanted`], the ordinals (see
//! [`crate::tree::Tree::chunks`]) of the chunks that it lacks, in one or more parts. The sender then sends just
//! those, in that order, as raw frames of kind `Chunk`: four bytes of ordinal, big-endian, then the bytes. The receiver
//! checks every chunk against its id and answers with [`Stored`] once everything is safe on its disk.
//! What was interrupted is simply asked for again: chunks that arrived are not wanted twice.

use serde::{Deserialize, Serialize};

use crate::{id::TreeId, tree::Entry};

/// Most entries in one part, so that a part stays far below a frame's bound for usual paths. A sender also
/// begins a new part once the chunks named in it pass [`CHUNKS_PER_PART`].
pub const ENTRIES_PER_PART: usize = 1024;
/// See [`ENTRIES_PER_PART`].
pub const CHUNKS_PER_PART: usize = 64 << 10;
/// Most ordinals in one [`Wanted`].
pub const ORDINALS_PER_PART: usize = 64 << 10;
/// Bytes of ordinal before a chunk's own.
pub const CHUNK_PREFIX_BYTES: usize = 4;

/// Some of a tree's entries, in the tree's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreePart {
    pub entries: Vec<Entry>,
    /// Whether the tree is complete with these.
    pub last: bool,
}

/// Chunks that the receiver lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    pub ordinals: Vec<u32>,
    pub last: bool,
}

/// The whole tree is checked and safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    pub tree: TreeId,
}
