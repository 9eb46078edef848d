//! What a collection would take away, without doing so.

use std::time::Instant;

use common::{
    api::storage::StoredNow,
    id::{ChunkId, TreeId},
    units::Bytes,
};
use link::trees::ChunkMap;

use super::{
    collect::{Collected, KEEP_UNUSED},
    error::BlobError,
    index::Doomed,
    store::{Store, read_description},
};

/// Most pieces of trees that go that are looked at: about 60 MiB of memory.
const MAX_LOOKED: usize = 1 << 20;
/// Pieces that are read at once.
const STEP: usize = 4096;

/// What would go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Preview {
    pub(crate) gone: Collected,
    /// Trees that are held, and stay for now.
    pub(crate) held: u64,
    /// More pieces would go than were looked at.
    pub(crate) more: bool,
}

impl Store {
    /// Returns what would go if these trees lost their names.
    ///
    /// # Errors
    /// Something cannot be read.
    pub(crate) fn preview(&self, trees: &[TreeId]) -> Result<Preview, BlobError> {
        // As a collection begins: it says the same then.
        let view = {
            let _one = self.all_counted()?;
            self.0.view()?
        };
        let mut preview = Preview {
            gone: Collected::default(),
            held: 0,
            more: false,
        };
        // How many of the trees that go have a chunk.
        let mut going: ChunkMap<u32> = ChunkMap::new();
        let doomed = view.doomed()?.into_iter();
        let named = trees.iter().map(|tree| Doomed {
            tree: *tree,
            heard: 0,
            counted: u32::MAX,
        });
        for doomed in doomed.chain(named) {
            let tree = doomed.tree;
            if trees.contains(&tree) {
                if view.tree(tree)?.is_none() {
                    continue;
                }
                if self.0.holds.held().has_tree(tree, Instant::now()) {
                    preview.held += 1;
                    continue;
                }
            }
            preview.gone.trees += 1;
            let Ok(manifest) = read_description(&self.tree_path(tree), tree)? else {
                continue;
            };
            if going.len() + manifest.chunks().len() > MAX_LOOKED {
                preview.more = true;
                continue;
            }
            for (chunk, ordinal) in manifest
                .chunks()
                .iter()
                .zip(0..)
                .skip(doomed.heard as usize)
            {
                *going.entry(chunk.id).or_default() += u32::from(ordinal < doomed.counted);
            }
        }
        if !view.uncountable()?.is_empty() {
            // Nobody knows which pieces those have.
            return Ok(preview);
        }
        let mut count = |id: ChunkId, trees: u32| -> Result<(), BlobError> {
            let row = view.chunk(id)?.filter(|row| row.references == trees);
            if let Some(place) = row.and_then(|row| row.place)
                && !self.0.holds.held().has(id)
            {
                preview.gone.pieces += 1;
                preview.gone.bytes += u64::from(place.record_bytes());
            }
            Ok(())
        };
        for (id, trees) in &going {
            count(*id, *trees)?;
        }
        let mut after = None;
        loop {
            let step = view.idle(self.minute_before(KEEP_UNUSED), after, STEP)?;
            let Some(last) = step.last() else {
                return Ok(preview);
            };
            after = Some(*last);
            for (_, id) in step.iter().filter(|(_, id)| !going.contains_key(id)) {
                count(*id, 0)?;
            }
        }
    }

    /// Returns what is stored.
    ///
    /// # Errors
    /// The index cannot be read.
    pub(crate) fn stored_now(&self) -> Result<StoredNow, BlobError> {
        let view = self.0.view()?;
        let mut now = StoredNow {
            trees: view.trees()?.len() as u64,
            ..StoredNow::default()
        };
        for (_, pack) in view.packs()? {
            now.bytes = Bytes(now.bytes.0 + u64::from(pack.bytes));
            now.dead = Bytes(now.dead.0 + u64::from(pack.dead()));
        }
        Ok(now)
    }
}
