//! What need not come because donors have it: equal files are linked, chunks are copied on this disk.

use std::{
    collections::HashSet,
    fs::File,
    io,
    os::{fd::AsFd, unix::fs::FileExt},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use agent_core::cache_plan::FileNumber;
use common::{tree::TreePath, units::Bytes};
use rustix::{
    fs::{AtFlags, FileType, Mode, chmodat, copy_file_range, linkat, unlinkat},
    io::Errno,
};

use super::{Empty, Layout, Open};
use crate::transfer::{
    beneath::{Folder, Nearby},
    donors::Donors,
};

/// What a file system shares, or copies at once where it does not, begins at multiples of this.
const BLOCK_BYTES: u64 = 4096;
/// Files that are copied into at once.
const MAX_COPYING: usize = 4;
/// Copied at once where the kernel does not do it.
const BUFFER_BYTES: usize = 1 << 20;
/// What a file of our own may have, so that it can be written.
const WRITABLE: u32 = 0o600;

/// A file of the tree that is a donor's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transfer) struct Linked {
    /// An index into the tree's entries.
    pub(in crate::transfer) entry: usize,
    pub(in crate::transfer) file: FileNumber,
    pub(in crate::transfer) bytes: Bytes,
    /// See [`Donors::folder`].
    pub(in crate::transfer) donor: usize,
}

/// Links files in the order of the tree.
pub(super) struct Linking<'a> {
    donors: &'a Donors,
    into: Nearby<'a>,
    from: Option<(usize, Nearby<'a>)>,
}

impl<'a> Linking<'a> {
    pub(super) const fn new(into: &'a Folder, donors: &'a Donors) -> Self {
        Self {
            donors,
            into: Nearby::new(into),
            from: None,
        }
    }

    /// Removes what an earlier try left at `path` where it is a donor's or in the way of one, and lets what is
    /// our own be written.
    pub(super) fn clear_way(&mut self, index: usize, path: &TreePath) -> io::Result<()> {
        let stat = match self.into.stat(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            stat => stat?,
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(());
        }
        let (folder, name) = self.into.parent(path.as_bytes())?;
        if stat.st_nlink > 1 || self.donors.file(index).is_some() {
            unlinkat(folder, name, AtFlags::empty())?;
        } else if stat.st_mode & WRITABLE != WRITABLE {
            let mode = Mode::from_raw_mode(stat.st_mode & 0o777 | WRITABLE);
            chmodat(folder, name, mode, AtFlags::empty())?;
        }
        Ok(())
    }

    /// Makes a donor's file an entry of the tree, where there is one that is as it was sealed.
    pub(super) fn link(&mut self, index: usize, path: &TreePath) -> io::Result<Option<Linked>> {
        let Some(source) = self.donors.file(index) else {
            return Ok(None);
        };
        let from = match self.from.take() {
            Some(from) if from.0 == source.folder => from,
            _ => (
                source.folder,
                Nearby::new(self.donors.folder(source.folder)),
            ),
        };
        let from = &mut self.from.insert(from).1;
        let Ok(stat) = from.stat(&source.path) else {
            return Ok(None);
        };
        if !source.is_sealed(&stat) {
            return Ok(None);
        }
        let (donor, name) = from.parent(source.path.as_bytes())?;
        let (into, as_name) = self.into.parent(path.as_bytes())?;
        match linkat(donor, name, into, as_name, AtFlags::empty()) {
            Ok(()) => Ok(Some(Linked {
                entry: index,
                file: FileNumber(stat.st_ino),
                bytes: Bytes(u64::try_from(stat.st_size).unwrap_or(0)),
                donor: source.folder,
            })),
            // It is gone, or has as many names as the file system allows: then it comes like any other.
            Err(Errno::NOENT | Errno::MLINK | Errno::PERM | Errno::XDEV) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Chunks that stand beside each other at both ends.
#[derive(Debug, Clone, Copy)]
struct Run {
    source: usize,
    from: u64,
    /// An index into the tree's entries.
    index: usize,
    to: u64,
    bytes: u64,
}

impl Layout {
    /// Returns the files that are a donor's.
    pub(in crate::transfer) fn linked(&self) -> &[Linked] {
        &self.linked
    }

    /// Returns the files without content that have several names.
    pub(in crate::transfer) fn empty(&self) -> &[Empty] {
        &self.empty
    }

    /// Copies the chunks that donors have. Blocks.
    ///
    /// # Errors
    /// They cannot be written; a donor that cannot be read is as good as none.
    pub(in crate::transfer) fn copy_from(&mut self, donors: &Donors) -> io::Result<()> {
        let has = |ordinal: u32| {
            donors
                .chunk(ordinal)
                .filter(|_| !self.kept[ordinal as usize])
        };
        let mut lacking: Vec<_> = self
            .places
            .iter()
            .copied()
            .filter(|place| has(place.0).is_some())
            .collect();
        lacking.sort_unstable_by_key(|&(_, index, offset)| (index, offset));
        let files: Vec<&[(u32, usize, u64)]> = lacking.chunk_by(|a, b| a.1 == b.1).collect();
        let next = AtomicUsize::new(0);
        let copy = || -> io::Result<Vec<u32>> {
            let mut copying = Copying { donors, open: None };
            let mut failed = Vec::new();
            while let Some(places) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.copy_file(&mut copying, places, &mut failed)?;
            }
            Ok(failed)
        };
        let failed: Vec<io::Result<Vec<u32>>> = thread::scope(|scope| {
            // Of different files, so that nobody waits for another's lock. Without a thread this one does it all.
            let others = 1..MAX_COPYING.min(files.len());
            let others =
                others.map_while(|_| thread::Builder::new().spawn_scoped(scope, copy).ok());
            let others: Vec<_> = others.collect();
            let panicked = |_| Err(io::Error::other("a copying thread ended unexpectedly"));
            let joined = others.into_iter().map(|other| other.join());
            let own = copy();
            joined
                .map(|done| done.unwrap_or_else(panicked))
                .chain([own])
                .collect()
        });
        let failed: io::Result<Vec<Vec<u32>>> = failed.into_iter().collect();
        let failed: HashSet<u32> = failed?.into_iter().flatten().collect();
        for (ordinal, ..) in lacking {
            self.kept[ordinal as usize] = !failed.contains(&ordinal);
        }
        Ok(())
    }

    /// Copies the places of one file that donors have, in their order; notes those that could not be.
    fn copy_file(
        &self,
        copying: &mut Copying<'_>,
        places: &[(u32, usize, u64)],
        failed: &mut Vec<u32>,
    ) -> io::Result<()> {
        let donors = copying.donors;
        let mut open = Open::default();
        let (mut run, mut begun): (Option<Run>, usize) = (None, 0);
        let mut finish = |run: Option<Run>, places: &[(u32, usize, u64)]| -> io::Result<()> {
            if let Some(run) = run
                && !copying.copy(run, self.open(&mut open, run.index)?)?
            {
                failed.extend(places.iter().map(|place| place.0));
            }
            Ok(())
        };
        for (at, &(ordinal, index, offset)) in places.iter().enumerate() {
            let Some(spot) = donors.chunk(ordinal) else {
                continue;
            };
            let bytes = u64::from(self.manifest.chunks()[ordinal as usize].bytes);
            if let Some(run) = &mut run
                && run.source == spot.source
                && run.from + run.bytes == spot.offset
                && run.to + run.bytes == offset
            {
                run.bytes += bytes;
                continue;
            }
            finish(run, &places[begun..at])?;
            begun = at;
            run = Some(Run {
                source: spot.source,
                from: spot.offset,
                index,
                to: offset,
                bytes,
            });
        }
        finish(run, &places[begun..])
    }
}

/// Copies from one donor's file after the other.
struct Copying<'a> {
    donors: &'a Donors,
    /// The source that was used last; `None` inside for one that cannot be.
    open: Option<(usize, Option<File>)>,
}

impl Copying<'_> {
    /// Returns whether the run is there now.
    fn copy(&mut self, run: Run, into: &File) -> io::Result<bool> {
        let open = match self.open.take() {
            Some(open) if open.0 == run.source => open,
            _ => (run.source, self.donors.open(run.source)),
        };
        let Some(source) = &self.open.insert(open).1 else {
            return Ok(false);
        };
        let Run {
            from, to, bytes, ..
        } = run;
        // Whole blocks apart from the rest, so that a file system that can share them does.
        let head = match from % BLOCK_BYTES == to % BLOCK_BYTES {
            true => from.next_multiple_of(BLOCK_BYTES) - from,
            false => bytes,
        };
        let head = head.min(bytes);
        let whole = (bytes - head) / BLOCK_BYTES * BLOCK_BYTES;
        for (at, part) in [
            (0, head),
            (head, whole),
            (head + whole, bytes - head - whole),
        ] {
            if part > 0 && !copy_part(source, from + at, into, to + at, part)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Returns whether all of it was there to be copied.
fn copy_part(source: &File, from: u64, into: &File, to: u64, bytes: u64) -> io::Result<bool> {
    let (mut from, mut to, mut left) = (from, to, bytes);
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        match copy_file_range(
            source.as_fd(),
            Some(&mut from),
            into.as_fd(),
            Some(&mut to),
            most,
        ) {
            Ok(0) => return Ok(false),
            Ok(copied) => left -= copied as u64,
            Err(Errno::INTR) => {}
            Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL) => {
                return copy_by_hand(source, from, into, to, left);
            }
            // A donor that cannot be read gives nothing; a disk that cannot be written says so again.
            Err(Errno::IO) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(true)
}

fn copy_by_hand(source: &File, from: u64, into: &File, to: u64, bytes: u64) -> io::Result<bool> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut done = 0;
    while done < bytes {
        let most = usize::try_from(bytes - done)
            .unwrap_or(usize::MAX)
            .min(BUFFER_BYTES);
        if source
            .read_exact_at(&mut buffer[..most], from + done)
            .is_err()
        {
            return Ok(false);
        }
        into.write_all_at(&buffer[..most], to + done)?;
        done += most as u64;
    }
    Ok(true)
}
