//! Counting how many trees have each chunk.
//!
//! Sealing a tree writes nothing of the chunks that are here already: it notes that the tree is not counted, and each
//! of its chunks hears of it later, as each hears later that a tree has gone (see [`super::collect`]). Before anything
//! is taken away, all trees are counted.
//!
//! Every step is a commit of its own that goes on exactly where the index says that the tree is: a tree is counted once
//! whoever counts, and whenever they are stopped.

use std::sync::MutexGuard;

use common::id::{ChunkId, TreeId};
use link::trees::Manifest;

use super::{
    error::BlobError,
    index::Change,
    store::{Store, read_description},
};

/// A part of a tree that is counted in one commit.
#[derive(Debug)]
pub(super) struct Part {
    tree: TreeId,
    from: u32,
    to: u32,
    /// `None` where it is damaged.
    manifest: Option<Manifest>,
}

impl Store {
    /// Counts the trees that are not counted yet.
    ///
    /// # Errors
    /// Something cannot be read or written; the next call goes on.
    pub(crate) fn count(&self) -> Result<(), BlobError> {
        let mut last = None;
        while self.count_step(&mut last)? {}
        Ok(())
    }

    /// Counts so much as goes into one commit; returns whether there may be more. `last` is the description that was
    /// read last, as a large tree takes many steps.
    pub(super) fn count_step(&self, last: &mut Option<Manifest>) -> Result<bool, BlobError> {
        let parts = self.next_parts(last)?;
        if parts.is_empty() {
            return Ok(false);
        }
        self.0.change(|change| self.count_parts(change, &parts))?;
        Ok(true)
    }

    /// Counts all trees, and returns the guard while which no other one is sealed.
    pub(super) fn all_counted(&self) -> Result<MutexGuard<'_, ()>, BlobError> {
        self.count()?;
        let one = self.0.committing();
        // What was sealed since is little.
        let mut last = None;
        loop {
            let parts = self.next_parts(&mut last)?;
            if parts.is_empty() {
                return Ok(one);
            }
            self.0
                .index
                .write(|change| self.count_parts(change, &parts))?;
        }
    }

    /// Returns what the next commit counts: of several trees where they are small.
    pub(super) fn next_parts(&self, last: &mut Option<Manifest>) -> Result<Vec<Part>, BlobError> {
        let mut room = self.0.limits.told_pieces;
        let mut parts = Vec::new();
        for (tree, from) in self.0.view()?.uncounted()? {
            if room == 0 {
                break;
            }
            let known = last.take().filter(|last| last.id() == tree);
            let manifest = match known.or_else(|| self.0.manifests.find(self.0.org, tree)) {
                Some(manifest) => Some(manifest),
                None => read_description(&self.tree_path(tree), tree)?.ok(),
            };
            let chunks = manifest.as_ref().map_or(&[][..], Manifest::chunks);
            let to = chunks.len().min(from as usize + room);
            room = room.saturating_sub(to.saturating_sub(from as usize).max(1));
            last.clone_from(&manifest);
            parts.push(Part {
                tree,
                from,
                to: u32::try_from(to).map_err(std::io::Error::other)?,
                manifest,
            });
        }
        Ok(parts)
    }

    /// Counts parts that were looked up before.
    pub(super) fn count_parts(
        &self,
        change: &mut Change<'_>,
        parts: &[Part],
    ) -> Result<(), BlobError> {
        let mut chunks: Vec<ChunkId> = Vec::new();
        for part in parts {
            // It may have been counted, or have gone, since the look.
            if change.uncounted(part.tree)? != Some(part.from) {
                continue;
            }
            let Some(manifest) = &part.manifest else {
                let path = self.tree_path(part.tree);
                if read_description(&path, part.tree)?.is_err() {
                    self.set_aside_in(change, part.tree)?;
                }
                continue;
            };
            let all = manifest.chunks();
            let counted = all.get(part.from as usize..part.to as usize);
            chunks.extend(counted.unwrap_or_default().iter().map(|chunk| chunk.id));
            let more = (part.to as usize) < all.len();
            change.note_counted(part.tree, more.then_some(part.to))?;
        }
        // In the order of the index, whose pages are then written once.
        chunks.sort_unstable();
        chunks.iter().try_for_each(|id| change.refer(*id))
    }
}
