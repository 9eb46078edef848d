//! What stays though no row names it: trees on their way with every chunk of theirs, and trees that have arrived and
//! will be named in a moment. And, the other way round, the chunks that a sweep is about to take.
//!
//! One lock for all of it. Whoever sends a tree is told which chunks are here only once they are held, and a sweep
//! takes a chunk under the same lock: what was told stays true. All of it is in memory: an upload ends with the process.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::{MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use common::id::{ChunkId, TreeId};
use link::trees::Manifest;

use super::Store;

/// How long a tree that has arrived waits for a row that names it.
const UNNAMED: Duration = Duration::from_secs(600);
/// Most trees that wait so; the oldest makes room.
const MAX_UNNAMED: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Holds {
    /// Trees on their way, by a number of their own.
    uploads: BTreeMap<u64, Manifest>,
    next: u64,
    /// Trees that have arrived, oldest first; as often as they did.
    unnamed: VecDeque<(TreeId, Instant)>,
    /// What the sweep is about to take; nothing while there is none.
    going: HashSet<ChunkId>,
    /// What it would have taken if it were not held.
    spared: HashSet<ChunkId>,
}

/// A tree on its way. Until this is dropped, neither it nor a chunk of it goes.
#[derive(Debug)]
pub(super) struct Hold {
    store: Store,
    number: u64,
}

impl Store {
    /// Holds a tree that is about to come, and those of its chunks that are here.
    pub(super) fn hold(&self, manifest: &Manifest) -> Hold {
        let mut holds = self.holds();
        let number = holds.next;
        holds.next += 1;
        holds.spare(manifest);
        holds.uploads.insert(number, manifest.clone());
        Hold {
            store: self.clone(),
            number,
        }
    }

    /// Hears that a row names the tree from now on, or that nobody will.
    pub(crate) fn release(&self, tree: TreeId) {
        let mut holds = self.holds();
        if let Some(place) = holds.unnamed.iter().position(|(held, _)| *held == tree) {
            holds.unnamed.remove(place);
        }
    }

    /// Whoever has it does little: uploads begin and end under it.
    pub(super) fn holds(&self) -> MutexGuard<'_, Holds> {
        // Every change of it is one step: it is whole whatever a thread that held it did.
        self.0.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hold {
    /// The tree is saved: it alone is held now, until a row names it. Called before the receipt goes out.
    pub(super) fn arrived(&self) {
        let mut holds = self.store.holds();
        if let Some(manifest) = holds.uploads.remove(&self.number) {
            if holds.unnamed.len() == MAX_UNNAMED {
                holds.unnamed.pop_front();
            }
            holds.unnamed.push_back((manifest.id(), Instant::now()));
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.store.holds().uploads.remove(&self.number);
    }
}

impl Holds {
    /// Returns whether the tree may not lose its name.
    pub(super) fn has(&mut self, tree: TreeId, now: Instant) -> bool {
        let old = |since: &Instant| now.duration_since(*since) >= UNNAMED;
        while self.unnamed.front().is_some_and(|(_, since)| old(since)) {
            self.unnamed.pop_front();
        }
        let unnamed = self.unnamed.iter().any(|(held, _)| *held == tree);
        unnamed || self.uploads.values().any(|upload| upload.id() == tree)
    }

    /// Notes what a sweep is about to take, without what is held.
    pub(super) fn begin(&mut self, going: HashSet<ChunkId>) {
        self.going = going;
        for upload in self.uploads.values().cloned().collect::<Vec<_>>() {
            self.spare(&upload);
        }
    }

    /// Strikes out what another tree has; returns whether anything is left to look for.
    pub(super) fn strike(&mut self, live: &Manifest) -> bool {
        for chunk in live.chunks() {
            self.going.remove(&chunk.id);
            self.spared.remove(&chunk.id);
        }
        !self.going.is_empty() || !self.spared.is_empty()
    }

    /// Returns at most so many chunks that go now: while the lock is held.
    pub(super) fn take(&mut self, most: usize) -> Vec<ChunkId> {
        let step: Vec<ChunkId> = self.going.iter().take(most).copied().collect();
        for id in &step {
            self.going.remove(id);
        }
        step
    }

    /// Notes that the sweep is over; returns what it left because it was held.
    pub(super) fn end(&mut self) -> HashSet<ChunkId> {
        self.going = HashSet::new();
        std::mem::take(&mut self.spared)
    }

    fn spare(&mut self, held: &Manifest) {
        if self.going.is_empty() {
            return;
        }
        for chunk in held.chunks() {
            if self.going.remove(&chunk.id) {
                self.spared.insert(chunk.id);
            }
        }
    }
}
