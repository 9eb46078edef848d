//! What a commit takes from the journal.

use std::{collections::BTreeMap, sync::Arc};

use common::id::ChunkId;
use link::trees::ChunkMap;

use super::super::index::Place;

/// Where pieces are.
pub(in super::super) type Pieces = ChunkMap<Place>;

/// Returns how long the records of pieces are together.
pub(super) fn bytes_of(pieces: &Pieces) -> u64 {
    let records = pieces.values();
    records.map(|place| u64::from(place.record_bytes())).sum()
}

/// See the module.
#[derive(Debug, Default)]
pub(in super::super) struct Snapshot {
    pub(in super::super) pieces: Arc<Pieces>,
    /// Packs, and how long they are.
    pub(in super::super) packs: Vec<(u32, u32)>,
    /// See [`Journal::losses`].
    pub(in super::super) losses: u64,
    /// Packs that are in the bucket, and how long they are.
    pub(in super::super) shipped: BTreeMap<u32, u32>,
}

impl Snapshot {
    /// Returns the pieces that `is_asked` wants, in the order of the index: its pages are then changed one after the
    /// other.
    pub(in super::super) fn in_order(
        &self,
        is_asked: impl Fn(&ChunkId) -> bool,
    ) -> Vec<(ChunkId, Place)> {
        let asked = self.pieces.iter().filter(|(id, _)| is_asked(id));
        let mut asked: Vec<_> = asked.map(|(id, place)| (*id, *place)).collect();
        asked.sort_unstable_by_key(|(id, _)| *id);
        asked
    }
}
