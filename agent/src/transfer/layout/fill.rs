//! What came, written to its places: neighbours with one call, and a file that is complete sealed while it is open.

use std::{
    fs::File,
    io::{self, IoSlice},
    os::unix::fs::FileExt,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use bytes::Bytes as Buffer;
use common::tree::EntryKind;
use rustix::{
    fs::{Mode, OFlags},
    io::{Errno, pwritev},
};

use super::{Layout, Leave, is_executable, made_mode};
use crate::transfer::{
    beneath::Nearby,
    cache::{file_mode, seal_file},
    donors::size_of,
    ordinals::Place,
};

/// Most buffers of one call (IOV_MAX).
const MAX_SLICES: usize = 1024;
/// Noted of a file that was sealed; no file has so many places.
const SEALED: u32 = u32::MAX;

/// What is left to write.
#[derive(Debug)]
pub(super) struct Left {
    /// By ordinal: whether somebody writes it, or has. Nobody else does: a file that is complete is not touched.
    taken: Vec<AtomicBool>,
    /// By entry: places that nobody has written, or [`SEALED`].
    places: Vec<AtomicU32>,
}

/// Bytes for a place.
#[derive(Debug, Clone, Copy)]
struct Write<'a> {
    /// An index into the tree's entries.
    index: usize,
    offset: u64,
    bytes: &'a [u8],
    /// Need not be written: a new file has zeros there by itself, and they take no room.
    hole: bool,
}

impl Write<'_> {
    const fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

impl Layout {
    /// Writes chunks wherever the tree has them, those that came before left out.
    pub(super) fn fill(&self, chunks: &[(u32, Buffer)]) -> io::Result<()> {
        let left = self.left.get_or_init(|| Left::of(self));
        let mut writes = Vec::with_capacity(chunks.len());
        for (ordinal, bytes) in chunks {
            if left.taken[*ordinal as usize].swap(true, Ordering::AcqRel) {
                continue;
            }
            let places = self.places.of_chunk(*ordinal).iter();
            let zeros = bytes.iter().all(|byte| *byte == 0);
            writes.extend(places.map(|&Place { index, offset }| Write {
                index,
                offset,
                bytes,
                hole: zeros && self.has_hole(index, offset + bytes.len() as u64),
            }));
        }
        writes.sort_unstable_by_key(|write| (write.index, write.offset));
        let mut nearby = Nearby::new(&self.folder);
        for of_file in writes.chunk_by(|one, next| one.index == next.index) {
            self.write(&mut nearby, of_file, left)?;
        }
        Ok(())
    }

    /// Returns whether zeros up to here need not be written: the file is new, and what is written behind them makes it
    /// as long as it is.
    fn has_hole(&self, index: usize, end: u64) -> bool {
        let EntryKind::File { chunks, .. } = &self.manifest.tree().entries()[index].kind else {
            return false;
        };
        !self.is_reused(index) && end < size_of(chunks)
    }

    /// Returns whether everything that was to be written is.
    pub(super) fn is_full(&self) -> bool {
        let written = |places: &AtomicU32| [0, SEALED].contains(&places.load(Ordering::Acquire));
        let left = self.left.get();
        left.is_none_or(|left| left.places.iter().all(written))
    }

    /// Returns whether the file at this index of the tree's entries is sealed already.
    pub(in crate::transfer) fn is_sealed(&self, index: usize) -> bool {
        let kind = &self.manifest.tree().entries()[index].kind;
        if matches!(kind, EntryKind::File { chunks, .. } if chunks.is_empty()) {
            // Since it was made.
            return self.leave == Leave::Sealed;
        }
        let left = self.left.get();
        left.is_some_and(|left| left.places[index].load(Ordering::Acquire) == SEALED)
    }

    /// Writes to one file.
    fn write(&self, nearby: &mut Nearby<'_>, writes: &[Write<'_>], left: &Left) -> io::Result<()> {
        let Some(&Write { index, .. }) = writes.first() else {
            return Ok(());
        };
        let entry = &self.manifest.tree().entries()[index];
        let executable = is_executable(&entry.kind);
        let written = u32::try_from(writes.len()).map_err(io::Error::other)?;
        // Nobody opens a file again that is written as a whole: it is made with the mode that it keeps.
        let whole = left.places[index].load(Ordering::Acquire) == written;
        let mode = match whole && self.leave == Leave::Sealed {
            true => Mode::from_raw_mode(file_mode(executable)),
            false => made_mode(executable),
        };
        let (folder, name) = nearby.parent(entry.path.as_bytes())?;
        let file = folder.write(name, mode, OFlags::empty())?;
        let beside =
            |one: &Write<'_>, next: &Write<'_>| one.end() == next.offset && one.hole == next.hole;
        for run in writes.chunk_by(beside).filter(|run| !run[0].hole) {
            run.chunks(MAX_SLICES)
                .try_for_each(|part| write_all(&file, part))?;
        }
        let before = left.places[index].fetch_sub(written, Ordering::AcqRel);
        if before == written && self.leave == Leave::Sealed {
            seal_file(&file, executable)?;
            left.places[index].store(SEALED, Ordering::Release);
        }
        Ok(())
    }
}

impl Left {
    fn of(layout: &Layout) -> Self {
        let taken = layout.kept.iter().copied().map(AtomicBool::new).collect();
        let entries = layout.manifest.tree().entries().len();
        let mut places = vec![0_u32; entries];
        for (ordinal, of_chunk) in layout.places.iter() {
            if !layout.kept[ordinal as usize] {
                for place in of_chunk {
                    places[place.index] += 1;
                }
            }
        }
        Self {
            taken,
            places: places.into_iter().map(AtomicU32::new).collect(),
        }
    }
}

/// Writes what stands beside each other.
fn write_all(file: &File, run: &[Write<'_>]) -> io::Result<()> {
    let slices: Vec<IoSlice<'_>> = run.iter().map(|write| IoSlice::new(write.bytes)).collect();
    let Some(first) = run.first() else {
        return Ok(());
    };
    let mut written = match pwritev(file, &slices, first.offset) {
        Err(Errno::INTR) => 0,
        written => written?,
    };
    // Seldom: what the kernel did not take at once.
    for write in run {
        let done = written.min(write.bytes.len());
        written -= done;
        let rest = &write.bytes[done..];
        if !rest.is_empty() {
            file.write_all_at(rest, write.offset + done as u64)?;
        }
    }
    Ok(())
}
