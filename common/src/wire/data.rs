//! How trees travel, whoever sends them.
//!
//! *Down*: one stream brings the description in [`TreePart`]s and ends. Over further streams, several at once, the
//! one who fetches asks with [`ChunkAsk`]s for chunks by their ordinal (see [`crate::tree::Tree::chunks`]) and gets
//! them, in the order asked for, in frames of kind `Pieces`. Whoever finds a chunk damaged says so.
//!
//! *Up*: the sender says what will come, then [`Offer`]s chunks as it cuts its files. Every offer is answered by a
//! [`Wanted`] with those that are lacking, numbered over all offers. These go, as `Pieces`, over streams of their own,
//! or over the same one where there is little. The description comes last, in [`OfferedPart`]s that name chunks by
//! these numbers, and [`Stored`] says that everything is safe.
//!
//! *What is alike*: both sides often have a tree that is nearly the one which travels, such as the version before.
//! Whoever begins names such trees; [`Based`] says which of them the other side takes, and its chunks have the first
//! numbers then (see [`crate::tree::Tree::chunks`]), as if they had been offered and were there. A description comes
//! down in [`Offer`]s and [`OfferedPart`]s then.
//!
//! A frame of kind `Pieces` is raw: of each piece its ordinal and the length of its bytes (four bytes each,
//! big-endian; the length's highest bit says that they are compressed), then the bytes. What was interrupted is begun
//! again: chunks that arrived are not wanted twice.

use serde::{Deserialize, Serialize};

use crate::{
    id::TreeId,
    tree::{ChunkRef, Entry, LinkTarget, MAX_CHUNK_BYTES, TreePath},
};

/// Most entries in one part, so that a part stays far below a frame's bound for usual paths. A sender also
/// begins a new part once the chunks named in it pass [`CHUNKS_PER_PART`].
pub const ENTRIES_PER_PART: usize = 1024;
/// See [`ENTRIES_PER_PART`].
pub const CHUNKS_PER_PART: usize = 64 << 10;
/// Most trees that are named as alike.
pub const MAX_BESIDE: usize = 32;
/// Most chunks of one [`Offer`].
pub const CHUNKS_PER_OFFER: usize = 8 << 10;
/// Most runs of one [`Wanted`], and most chunks that one may name.
pub const CHUNKS_PER_ASK: usize = 16 << 10;
/// Bytes before a piece's own.
pub const PIECE_HEADER_BYTES: usize = 8;
/// Most bytes of a frame of pieces: the largest chunk fits.
pub const PIECES_BYTES: u32 = MAX_CHUNK_BYTES + 8;
/// Set in a piece's length where its bytes are compressed (zstd).
pub const PIECE_IS_ZSTD: u32 = 1 << 31;

/// Some of a tree's entries, in the tree's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreePart {
    pub entries: Vec<Entry>,
    /// Whether the tree is complete with these.
    pub last: bool,
}

/// Numbers that follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub first: u32,
    /// 1 or more.
    pub count: u32,
}

impl Run {
    /// Returns numbers as runs, in their order.
    pub fn of(numbers: impl IntoIterator<Item = u32>) -> Vec<Self> {
        let mut runs: Vec<Self> = Vec::new();
        for number in numbers {
            match runs.last_mut() {
                Some(run) if run.first.checked_add(run.count) == Some(number) => run.count += 1,
                _ => runs.push(Self {
                    first: number,
                    count: 1,
                }),
            }
        }
        runs
    }

    /// Returns the numbers of these runs, if they are all below `end` and at most `most`.
    pub fn numbers(runs: &[Self], end: usize, most: usize) -> Option<Vec<u32>> {
        let mut count = 0_usize;
        for run in runs {
            let last = run.first.checked_add(run.count.checked_sub(1)?)?;
            count = count.checked_add(run.count as usize)?;
            if last as usize >= end || count > most {
                return None;
            }
        }
        let numbers = runs
            .iter()
            .flat_map(|run| run.first..=run.first + (run.count - 1));
        Some(numbers.collect())
    }
}

/// Chunks that the receiver lacks; in an answer to an [`Offer`] ascending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    pub runs: Vec<Run>,
}

/// From the one who fetches chunks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChunkAsk {
    /// These are to come, in this order.
    Wanted(Wanted),
    /// This one came and does not match its checksum.
    Damaged { ordinal: u32 },
}

/// What an upload will be, said before anything of it. More than this may not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    pub files: u64,
    pub bytes: crate::units::Bytes,
    /// A tree that is alike and that the receiver may have; it is answered by [`Based`].
    pub beside: Option<TreeId>,
}

/// Whether a tree that was named, and which, is one that both sides have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Based {
    pub tree: Option<TreeId>,
}

/// Chunks that the sender has, each numbered: the first of the first offer is 0. None is offered twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    pub chunks: Vec<ChunkRef>,
}

/// As [`TreePart`], of what was offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedPart {
    pub entries: Vec<OfferedEntry>,
    pub last: bool,
}

/// As [`Entry`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedEntry {
    pub path: TreePath,
    pub kind: OfferedKind,
}

/// As [`crate::tree::EntryKind`]; chunks by the numbers under which they were offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OfferedKind {
    Directory,
    File { executable: bool, chunks: Vec<Run> },
    Symlink { target: LinkTarget },
}

/// The whole tree is checked and safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    pub tree: TreeId,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #[test]
        fn runs_say_the_numbers_that_they_are_made_of(numbers in prop::collection::vec(0..40_u32, 0..60)) {
            let runs = Run::of(numbers.iter().copied());
            prop_assert!(runs.len() <= numbers.len());
            prop_assert_eq!(Run::numbers(&runs, 40, 60), Some(numbers));
        }

        #[test]
        fn hostile_runs_are_refused_or_bounded(runs in prop::collection::vec((any::<u32>(), any::<u32>()), 0..5)) {
            let runs: Vec<Run> = runs.into_iter().map(|(first, count)| Run { first, count }).collect();
            if let Some(numbers) = Run::numbers(&runs, 100, 200) {
                prop_assert!(numbers.len() <= 200);
                prop_assert!(numbers.iter().all(|number| *number < 100));
            }
        }
    }
}
