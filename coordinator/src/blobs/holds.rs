//! What stays though no row names it: the chunks that an upload was told are here or has sent, and trees that have
//! arrived and will be named in a moment.
//!
//! Whoever sends a tree holds a chunk before it looks whether it is here, and collection takes chunks out of the index
//! under the lock of this: what was told stays true. All of it is in memory: an upload ends with the process.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use common::id::{ChunkId, TreeId};

/// How long a tree that has arrived waits for a row that names it.
const UNNAMED: Duration = Duration::from_secs(600);
/// Most trees that wait so; the oldest makes room.
const MAX_UNNAMED: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Holds(Mutex<Held>);

#[derive(Debug, Default)]
pub(super) struct Held {
    /// Of each upload, by a number of its own, the beginnings of its chunks' ids: chunks that are alike in them stay
    /// a little longer, and a million takes some ten megabytes.
    uploads: BTreeMap<u64, HashSet<u64>>,
    /// The trees beside which they come, which keep their names.
    beside: BTreeMap<u64, TreeId>,
    next: u64,
    /// Trees that have arrived, oldest first; as often as they did.
    unnamed: VecDeque<(TreeId, Instant)>,
}

impl Holds {
    /// Returns the number of a new upload.
    pub(super) fn begin(&self) -> u64 {
        let mut held = self.held();
        let number = held.next;
        held.next += 1;
        held.uploads.insert(number, HashSet::new());
        number
    }

    /// Holds chunks until the upload ends.
    pub(super) fn hold(&self, upload: u64, chunks: impl Iterator<Item = ChunkId>) {
        if let Some(set) = self.held().uploads.get_mut(&upload) {
            set.extend(chunks.map(beginning));
        }
    }

    /// Holds a tree until the upload ends.
    pub(super) fn hold_beside(&self, upload: u64, tree: TreeId) {
        self.held().beside.insert(upload, tree);
    }

    pub(super) fn end(&self, upload: u64) {
        let mut held = self.held();
        held.uploads.remove(&upload);
        held.beside.remove(&upload);
    }

    /// Holds a tree from before it is sealed until a row names it.
    pub(super) fn seal(&self, tree: TreeId) {
        let mut held = self.held();
        if held.unnamed.len() == MAX_UNNAMED {
            held.unnamed.pop_front();
        }
        held.unnamed.push_back((tree, Instant::now()));
    }

    /// Hears that a row names the tree from now on, or that nobody will.
    pub(super) fn release(&self, tree: TreeId) {
        let mut held = self.held();
        if let Some(place) = held.unnamed.iter().position(|(held, _)| *held == tree) {
            held.unnamed.remove(place);
        }
    }

    /// Whoever has it does little: uploads begin and end under it.
    pub(super) fn held(&self) -> MutexGuard<'_, Held> {
        // Every change of it is one step: it is whole whatever a thread that held it did.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Returns whether the tree may not lose its name.
    pub(super) fn has_tree(&mut self, tree: TreeId, now: Instant) -> bool {
        let old = |since: &Instant| now.duration_since(*since) >= UNNAMED;
        while self.unnamed.front().is_some_and(|(_, since)| old(since)) {
            self.unnamed.pop_front();
        }
        self.unnamed.iter().any(|(held, _)| *held == tree)
            || self.beside.values().any(|held| *held == tree)
    }

    pub(super) fn has(&self, chunk: ChunkId) -> bool {
        let beginning = beginning(chunk);
        self.uploads
            .values()
            .any(|upload| upload.contains(&beginning))
    }

    /// Returns whether nothing at all is held.
    pub(super) fn is_empty(&mut self, now: Instant) -> bool {
        let old = |since: &Instant| now.duration_since(*since) >= UNNAMED;
        self.unnamed.retain(|(_, since)| !old(since));
        self.uploads.is_empty() && self.unnamed.is_empty()
    }
}

fn beginning(chunk: ChunkId) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&chunk.as_bytes()[..8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(number: u8) -> TreeId {
        TreeId::new([number; 32])
    }

    #[test]
    fn nobody_holds_a_tree_for_ever() {
        let holds = Holds::default();
        let before = Instant::now();
        holds.seal(tree(1));
        let nearly = Duration::from_secs(599);
        assert!(holds.held().has_tree(tree(1), before + nearly));
        assert!(!holds.held().has_tree(tree(1), Instant::now() + UNNAMED));
    }

    #[test]
    fn a_tree_that_arrived_twice_is_released_twice() {
        let holds = Holds::default();
        holds.seal(tree(1));
        holds.seal(tree(1));
        holds.release(tree(1));
        assert!(holds.held().has_tree(tree(1), Instant::now()));
        holds.release(tree(1));
        holds.release(tree(1));
        assert!(!holds.held().has_tree(tree(1), Instant::now()));
    }

    #[test]
    fn the_oldest_tree_makes_room() {
        let holds = Holds::default();
        holds.seal(tree(1));
        (0..MAX_UNNAMED).for_each(|_| holds.seal(tree(2)));
        assert!(!holds.held().has_tree(tree(1), Instant::now()));
        assert_eq!(holds.held().unnamed.len(), MAX_UNNAMED);
    }
}
