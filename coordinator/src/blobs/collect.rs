//! Taking away what no row names any more: a tree loses its name, each of its chunks hears of it, and those that no
//! tree has any more go, with what uploads that broke off have left for a while.
//!
//! Every step is a commit of its own: a restart goes on where it was. What is held (see [`super::holds`]) stays, and is
//! looked at again the next time.

use std::time::{Duration, Instant};

use common::id::{ChunkId, TreeId};

use super::{
    error::BlobError,
    index::{Doomed, RECOUNT},
    step,
    store::{Store, arrive_all, minute, read_description},
    there,
};

/// How long trees stay that nobody ever named: a machine may have gone between sending what a job left and saying so.
pub(crate) const KEEP_UNNAMED: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long pieces stay that an upload brought which made no tree of them.
pub(super) const KEEP_UNUSED: Duration = Duration::from_secs(24 * 3600);
/// Chunks that go in one commit, while which no upload begins or ends.
const DROP_STEP: usize = 4096;

/// What a collection took away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Collected {
    pub(crate) trees: u64,
    pub(crate) pieces: u64,
    /// Of the pieces; what the disk gets back follows once their packs are cleared up.
    pub(crate) bytes: u64,
}

impl Store {
    /// Takes the names of these trees away, and returns those that keep theirs because they are held. Called while
    /// [`super::Stores::unnamed`] is held.
    ///
    /// # Errors
    /// The index cannot be written: all have kept theirs.
    pub(crate) fn doom(&self, trees: &[TreeId]) -> Result<Vec<TreeId>, BlobError> {
        let held = self.0.change(|change| {
            let mut held = Vec::new();
            for tree in trees {
                // One that came again while it went has to wait until that is over.
                let waits = change.tree(*tree)?.is_some() && change.is_doomed(*tree)?;
                if waits || self.0.holds.held().has_tree(*tree, Instant::now()) {
                    held.push(*tree);
                } else {
                    change.doom_tree(*tree)?;
                }
            }
            Ok(held)
        })?;
        for tree in trees.iter().filter(|tree| !held.contains(tree)) {
            self.0.manifests.forget(self.0.org, *tree);
        }
        Ok(held)
    }

    /// Returns the trees that were sealed this long ago.
    ///
    /// # Errors
    /// The index cannot be read.
    pub(crate) fn trees_older_than(&self, age: Duration) -> Result<Vec<TreeId>, BlobError> {
        let until = self.minute_before(age);
        let trees = self.0.view()?.trees()?.into_iter();
        Ok(trees
            .filter(|(_, row)| row.since <= until)
            .map(|(tree, _)| tree)
            .collect())
    }

    /// Deletes what the trees that have lost their names had alone, and what nobody used for long.
    ///
    /// # Errors
    /// Something cannot be read or written; the next call goes on.
    pub(crate) fn collect(&self) -> Result<Collected, BlobError> {
        let _one = self.0.collecting();
        if !self.0.journal.is_empty() {
            self.0.commit_here(arrive_all)?;
        }
        let mut collected = Collected::default();
        self.count()?;
        for doomed in self.0.view()?.doomed()? {
            self.dismantle(doomed)?;
            collected.trees += 1;
        }
        if self.0.view()?.note(RECOUNT)?.is_some() {
            let _one = self.0.committing();
            super::recover::recount(&self.0.root, &self.0.index, minute(&self.0.clock))?;
        }
        self.drop_idle(&mut collected)?;
        match self.compact().and_then(|()| self.tidy_depot()) {
            Err(error) if error.is_of_bucket() => {
                let error = error.problem("dead space in the org's bucket stays for now");
                tracing::warn!(org = %self.0.org, %error);
            }
            done => done?,
        }
        Ok(collected)
    }

    /// Tells the chunks of a doomed tree that have not heard of it that it has gone: no more than were counted lose a
    /// reference.
    pub(super) fn dismantle(&self, doomed: Doomed) -> Result<(), BlobError> {
        let tree = doomed.tree;
        let described = read_description(&self.tree_path(tree), tree)?;
        let described = match described {
            Ok(manifest) => Some(manifest),
            Err(why) => {
                tracing::error!(org = %self.0.org, %tree, why, "a tree that goes is damaged");
                None
            }
        };
        let mut at = doomed.heard as usize;
        if let Some(manifest) = &described {
            while at < manifest.chunks().len() {
                let end = manifest.chunks().len().min(at + self.0.limits.told_pieces);
                let chunks = manifest.chunks()[at..end].iter().map(|chunk| chunk.id);
                let counted = (at..end).map(|ordinal| ordinal < doomed.counted as usize);
                let mut step: Vec<(ChunkId, bool)> = chunks.zip(counted).collect();
                step.sort_unstable();
                let cursor = u32::try_from(end).map_err(std::io::Error::other)?;
                self.0.change(|change| {
                    for (id, counted) in step {
                        match counted {
                            true => change.unrefer(id)?,
                            false => change.expire(id)?,
                        }
                    }
                    change.advance_doomed(tree, Some(cursor))
                })?;
                at = end;
            }
        }
        self.0.change(|change| {
            if described.is_none() {
                // Nobody knows which chunks it had: all are counted anew.
                change.note(RECOUNT, b"1")?;
            }
            change.advance_doomed(tree, None)
        })?;
        // Whoever seals it again holds it before they write its description.
        let mut held = self.0.holds.held();
        if !held.has_tree(tree, Instant::now()) && self.0.view()?.tree(tree)?.is_none() {
            step();
            there(std::fs::remove_file(self.tree_path(tree)))?;
            there(std::fs::remove_file(self.damaged_path(tree)))?;
        }
        Ok(())
    }

    /// Takes out chunks that no tree has, and that nobody holds.
    pub(super) fn drop_idle(&self, collected: &mut Collected) -> Result<(), BlobError> {
        let until = self.minute_before(KEEP_UNUSED);
        let mut after = None;
        loop {
            let step = self.0.view()?.idle(until, after, DROP_STEP)?;
            let Some(last) = step.last() else {
                return Ok(());
            };
            after = Some(*last);
            // A tree that was sealed just now may have some of them.
            let _one = self.all_counted()?;
            if let Some(tree) = self.0.view()?.uncountable()?.first() {
                tracing::error!(org = %self.0.org, %tree, "no piece is deleted before a damaged tree was uploaded again, or has gone");
                return Ok(());
            }
            // Until the commit: who holds a chunk from then on finds that it has gone.
            let held = self.0.holds.held();
            let free = || step.iter().filter(|(_, id)| !held.has(*id));
            let (pieces, bytes) = self.0.index.write(|change| {
                let mut gone = (0, 0);
                for (since, id) in free() {
                    let bytes = change.drop_idle(*since, *id)?;
                    gone = (gone.0 + u64::from(bytes > 0), gone.1 + u64::from(bytes));
                }
                Ok(gone)
            })?;
            collected.pieces += pieces;
            collected.bytes += bytes;
        }
    }

    /// Returns the minute that was so long ago; what may go at once is older than any.
    pub(super) fn minute_before(&self, age: Duration) -> u32 {
        let minutes = u32::try_from(age.as_secs() / 60).unwrap_or(u32::MAX);
        minute(&self.0.clock).saturating_sub(minutes)
    }
}
