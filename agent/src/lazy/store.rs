//! What this machine has of lazily mounted trees, shared by all jobs that mount them.
//!
//! `lazy/<id>/index` is the tree (see [`super::index`]); `lazy/<id>/data` is as long as all its chunks together, each
//! at its place, with holes where they are not here. Which those are is remembered, and after a restart asked of the
//! file system; nobody has to believe it, because every chunk is checked when it is read.
//!
//! What is given up, by last use, are segments of `data`: a hole is made of them. How much may be held is the
//! [`Room`]'s to say.

mod kept;

pub(crate) use self::kept::Kept;

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use common::{id::TreeId, tree::chunk_id, units};
use link::files::create_private_dir;
use rustix::fs::{FallocateFlags, fallocate};

use super::index::{self, Chunk};
use crate::transfer::Beside;

pub(crate) const INDEX: &str = "index";
pub(crate) const DATA: &str = "data";
/// A piece of `data` that is given up as one.
pub(crate) const SEGMENT_BYTES: u64 = 4 << 20;
/// Given up in one go, so that not every chunk that comes looks for the oldest.
const SPARE_BYTES: u64 = 16 << 20;

/// Whoever says how much may be held. Called on threads that may block.
pub trait Room: Send + Sync + 'static {
    /// Is asked to let so much be held, and returns how much may be.
    fn lend(&self, wanted: units::Bytes) -> units::Bytes;
}

/// The store of one agent. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    root: PathBuf,
    room: Box<dyn Room>,
    trees: Mutex<HashMap<TreeId, Arc<Kept>>>,
    /// All that is held.
    held: AtomicU64,
    /// Moments of use.
    clock: AtomicU64,
    /// Whoever makes room does it alone.
    making_room: Mutex<()>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.0.root.display())
    }
}

/// Keeps a tree's description here for as long as this is held; its chunks come and go.
#[derive(Debug)]
pub struct PinnedLazy {
    kept: Arc<Kept>,
}

impl PinnedLazy {
    /// Returns the folder that a server of the tree reads.
    pub fn folder(&self) -> &Path {
        &self.kept.folder
    }
}

impl Drop for PinnedLazy {
    fn drop(&mut self) {
        self.kept.state().pins -= 1;
    }
}

impl Store {
    /// Opens the store in `root`, which is made if needed. What cannot be used is removed. Blocks.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub fn open(root: &Path, room: impl Room) -> io::Result<Self> {
        create_private_dir(root)?;
        let mut trees = HashMap::new();
        for entry in fs::read_dir(root)? {
            let path = entry?.path();
            let tree = path
                .file_name()
                .and_then(|name| name.to_str()?.parse().ok());
            let kept = tree.map(|tree| Kept::open(tree, path.clone()));
            match kept {
                Some(Ok(kept)) => drop(trees.insert(kept.tree, Arc::new(kept))),
                _ => fs::remove_dir_all(&path)?,
            }
        }
        let held = trees.values().map(|kept| kept.held()).sum();
        Ok(Self(Arc::new(Shared {
            root: root.to_owned(),
            room: Box::new(room),
            trees: Mutex::new(trees),
            held: AtomicU64::new(held),
            clock: AtomicU64::new(1),
            making_room: Mutex::new(()),
        })))
    }

    /// Gives up what may not be held. Blocks.
    pub(crate) fn settle(&self) {
        self.0.make_room(0);
    }

    /// Returns all that is held.
    pub fn held(&self) -> units::Bytes {
        units::Bytes(self.0.held.load(Ordering::Relaxed))
    }

    /// Returns a tree whose description is here.
    pub(crate) fn kept(&self, tree: TreeId) -> Option<Arc<Kept>> {
        self.0.trees().get(&tree).cloned()
    }

    /// Pins a tree whose description is here.
    pub fn pin(&self, tree: TreeId) -> Option<PinnedLazy> {
        let trees = self.0.trees();
        let kept = Arc::clone(trees.get(&tree)?);
        kept.state().pins += 1;
        Some(PinnedLazy { kept })
    }

    /// Takes in a tree's description, and pins it. Blocks.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn describe(&self, manifest: &link::trees::Manifest) -> io::Result<PinnedLazy> {
        let tree = manifest.id();
        if let Some(pinned) = self.pin(tree) {
            return Ok(pinned);
        }
        // What has no id for a name is removed by the next agent.
        let draft = self.0.root.join(format!("{tree}.draft"));
        if draft.exists() {
            fs::remove_dir_all(&draft)?;
        }
        create_private_dir(&draft)?;
        index::write(manifest.tree(), manifest.chunks(), &draft.join(INDEX))?;
        let bytes = manifest.chunks().iter().map(|chunk| u64::from(chunk.bytes));
        File::create(draft.join(DATA))?.set_len(bytes.sum())?;
        let folder = self.0.root.join(tree.to_string());
        fs::rename(&draft, &folder)?;
        let kept = Kept::open(tree, folder)?;
        self.0.held.fetch_add(kept.held(), Ordering::Relaxed);
        self.0.trees().insert(tree, Arc::new(kept));
        self.0.make_room(0);
        self.pin(tree).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Returns a chunk if it is here and what it should be. Blocks.
    pub(crate) fn read(&self, kept: &Kept, chunk: &Chunk) -> Option<Bytes> {
        if !kept.state().has(chunk.ordinal) {
            return None;
        }
        let mut bytes = vec![0; chunk.chunk.bytes as usize];
        let read = kept.data.read_exact_at(&mut bytes, chunk.at);
        if read.is_err() || chunk_id(&bytes) != chunk.chunk.id {
            let less = kept.state().remove(chunk);
            self.0.held.fetch_sub(less, Ordering::Relaxed);
            return None;
        }
        Some(bytes.into())
    }

    /// Keeps a chunk, which was checked, if there is room for it. Blocks.
    pub(crate) fn write(&self, kept: &Kept, chunk: &Chunk, bytes: &[u8]) {
        if !self.0.make_room(bytes.len() as u64) {
            return;
        }
        // A full disk, or a broken one: who waits for it gets it all the same.
        if let Err(error) = kept.data.write_all_at(bytes, chunk.at) {
            tracing::debug!(tree = %kept.tree, %error, "a chunk is not kept");
            return;
        }
        let more = kept.state().add(chunk, self.0.now());
        self.0.held.fetch_add(more, Ordering::Relaxed);
    }

    /// Notes that these segments were read.
    pub(crate) fn touch(&self, kept: &Kept, segments: &[u32]) {
        let now = self.0.now();
        let mut state = kept.state();
        for segment in segments {
            if let Some(segment) = state.segments.get_mut(segment) {
                segment.used = now;
            }
        }
    }
}

impl Beside for Store {
    fn shrink_to(&self, most: units::Bytes) -> units::Bytes {
        let _alone = self
            .0
            .making_room
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.0.give_up(most.0);
        self.held()
    }
}

impl Shared {
    fn trees(&self) -> MutexGuard<'_, HashMap<TreeId, Arc<Kept>>> {
        self.trees.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes room for so much more; returns whether there is.
    fn make_room(&self, more: u64) -> bool {
        let _alone = self
            .making_room
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let held = || self.held.load(Ordering::Relaxed);
        let wanted = held().saturating_add(more);
        let may = self.room.lend(units::Bytes(wanted)).0;
        if wanted <= may {
            return true;
        }
        self.give_up(
            may.saturating_sub(more)
                .saturating_sub(SPARE_BYTES.min(may / 4)),
        );
        held().saturating_add(more) <= may
    }

    /// Gives up segments, those first that were used longest ago, until no more than `most` is held; and with its last
    /// segment a tree that nobody uses.
    fn give_up(&self, most: u64) {
        if self.held.load(Ordering::Relaxed) <= most {
            return;
        }
        let trees: Vec<Arc<Kept>> = self.trees().values().cloned().collect();
        let mut all: Vec<(u64, usize, u32)> = Vec::new();
        for (number, kept) in trees.iter().enumerate() {
            let state = kept.state();
            all.extend(
                state
                    .segments
                    .iter()
                    .map(|(at, segment)| (segment.used, number, *at)),
            );
        }
        all.sort_unstable();
        for (_, number, segment) in all {
            if self.held.load(Ordering::Relaxed) <= most {
                return;
            }
            let kept = &trees[number];
            if let Err(error) = self.punch(kept, segment) {
                tracing::warn!(tree = %kept.tree, %error, "a part of lazily mounted data stays");
            }
        }
        for kept in trees {
            if self.held.load(Ordering::Relaxed) <= most {
                return;
            }
            self.forget(&kept);
        }
    }

    fn punch(&self, kept: &Kept, segment: u32) -> io::Result<()> {
        let start = u64::from(segment) * SEGMENT_BYTES;
        let end = (start + SEGMENT_BYTES).min(kept.index.kept());
        let gone = kept.index.chunks_in(start..end)?;
        let gone = kept.index.chunks_of(&gone.collect::<Vec<u32>>())?;
        let mut state = kept.state();
        let less: u64 = gone.iter().map(|chunk| state.remove(chunk)).sum();
        state.segments.remove(&segment);
        // While nobody can note a chunk of it as there.
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&kept.data, hole, start, end - start)?;
        self.held.fetch_sub(less, Ordering::Relaxed);
        Ok(())
    }

    /// Removes a tree that nobody uses.
    fn forget(&self, kept: &Kept) {
        let mut trees = self.trees();
        if kept.state().pins > 0 {
            return;
        }
        let held = kept.held();
        if trees.remove(&kept.tree).is_some() {
            self.held.fetch_sub(held, Ordering::Relaxed);
            if let Err(error) = fs::remove_dir_all(&kept.folder) {
                tracing::warn!(tree = %kept.tree, %error, "what is left of lazily mounted data stays");
            }
        }
    }
}

#[cfg(test)]
mod tests;
