//! What there is of one tree: its description, and which of its chunks.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    ops::Range,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use common::id::TreeId;
use rustix::fs::{SeekFrom, seek};

use super::{DATA, INDEX, SEGMENT_BYTES};
use crate::lazy::index::{Chunk, Index};

/// Chunks that are looked at in one go.
const CHUNKS: u32 = 4096;

/// What there is of a tree.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(super) tree: TreeId,
    pub(super) folder: PathBuf,
    pub(super) index: Index,
    pub(super) data: File,
    index_bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// A bit for each chunk.
    there: Vec<u64>,
    pub(super) segments: BTreeMap<u32, Segment>,
    pub(super) pins: u32,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Segment {
    /// Of the chunks that begin in it and are there.
    bytes: u64,
    pub(super) used: u64,
}

impl State {
    pub(super) fn has(&self, ordinal: u32) -> bool {
        let word = self.there.get(ordinal as usize / 64).copied().unwrap_or(0);
        word >> (ordinal % 64) & 1 == 1
    }

    /// Notes that a chunk is there; returns how much more is held by that.
    pub(super) fn add(&mut self, chunk: &Chunk, now: u64) -> u64 {
        let had = self.has(chunk.ordinal);
        let Some(segment) = segment_of(chunk.at) else {
            return 0;
        };
        let segment = self.segments.entry(segment).or_default();
        segment.used = now;
        if had {
            return 0;
        }
        let bytes = u64::from(chunk.chunk.bytes);
        segment.bytes += bytes;
        if let Some(word) = self.there.get_mut(chunk.ordinal as usize / 64) {
            *word |= 1 << (chunk.ordinal % 64);
        }
        bytes
    }

    /// Notes that a chunk is not there; returns how much less is held by that.
    pub(super) fn remove(&mut self, chunk: &Chunk) -> u64 {
        if !self.has(chunk.ordinal) {
            return 0;
        }
        if let Some(word) = self.there.get_mut(chunk.ordinal as usize / 64) {
            *word &= !(1 << (chunk.ordinal % 64));
        }
        let bytes = u64::from(chunk.chunk.bytes);
        if let Some(segment) = segment_of(chunk.at).and_then(|at| self.segments.get_mut(&at)) {
            segment.bytes = segment.bytes.saturating_sub(bytes);
        }
        bytes
    }
}

fn segment_of(at: u64) -> Option<u32> {
    u32::try_from(at / SEGMENT_BYTES).ok()
}

impl Kept {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tree(&self) -> TreeId {
        self.tree
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// Returns those of these chunks that are not here, as far as is known.
    pub(crate) fn missing(&self, ordinals: &[u32]) -> Vec<u32> {
        let state = self.state();
        let known = |ordinal: &u32| *ordinal < self.index.chunks();
        let missing = ordinals
            .iter()
            .filter(|ordinal| known(ordinal) && !state.has(**ordinal));
        missing.copied().collect()
    }

    /// Opens what an earlier agent left.
    pub(super) fn open(tree: TreeId, folder: PathBuf) -> io::Result<Self> {
        let index = File::open(folder.join(INDEX))?;
        let index_bytes = index.metadata()?.len();
        let index = Index::open(index)?;
        let data = File::options()
            .read(true)
            .write(true)
            .open(folder.join(DATA))?;
        if data.metadata()?.len() != index.kept() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let state = State {
            there: vec![0; (index.chunks() as usize).div_ceil(64)],
            ..State::default()
        };
        let kept = Self {
            tree,
            folder,
            index,
            data,
            index_bytes,
            state: Mutex::new(state),
        };
        kept.take_stock()?;
        Ok(kept)
    }

    /// Finds out what is there.
    fn take_stock(&self) -> io::Result<()> {
        let mut state = self.state();
        let mut at = 0;
        loop {
            let start = match seek(&self.data, SeekFrom::Data(at)) {
                Ok(start) => start,
                // There is nothing more.
                Err(rustix::io::Errno::NXIO) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let end = seek(&self.data, SeekFrom::Hole(start))?;
            let Range {
                start: mut from,
                end: to,
            } = self.index.chunks_in(start..end)?;
            while from < to {
                let until = to.min(from.saturating_add(CHUNKS));
                let some: Vec<u32> = (from..until).collect();
                for chunk in self.index.chunks_of(&some)? {
                    if chunk.at >= start && chunk.at + u64::from(chunk.chunk.bytes) <= end {
                        state.add(&chunk, 0);
                    }
                }
                from = until;
            }
            at = end;
        }
    }

    pub(super) fn held(&self) -> u64 {
        let state = self.state();
        let data: u64 = state.segments.values().map(|segment| segment.bytes).sum();
        data + self.index_bytes
    }
}
