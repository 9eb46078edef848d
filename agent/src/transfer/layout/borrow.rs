//! What need not come because donors have it: equal files are linked, chunks are copied on this disk.

use std::{
    collections::HashSet,
    fs::File,
    io,
    os::{fd::AsFd, unix::fs::FileExt},
};

use agent_core::cache_plan::FileNumber;
use common::{tree::TreePath, units::Bytes};
use rustix::{
    fs::{AtFlags, FileType, Mode, chmodat, copy_file_range, linkat, unlinkat},
    io::Errno,
};

use super::{Empty, Layout, Open, at_once::at_once};
use crate::transfer::{
    beneath::{Folder, Nearby, in_folder},
    donors::{Donors, Spot},
    ordinals::Place,
};

/// What a file system shares, or copies at once where it does not, begins at multiples of this.
const BLOCK_BYTES: u64 = 4096;
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

/// Clears the way for files, in the order of the tree.
pub(super) struct Clearing<'a> {
    donors: &'a Donors,
    into: Nearby<'a>,
}

impl<'a> Clearing<'a> {
    pub(super) const fn new(into: &'a Folder, donors: &'a Donors) -> Self {
        Self {
            donors,
            into: Nearby::new(into),
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
}

/// Links files in the order of the tree.
struct Linking<'a> {
    donors: &'a Donors,
    into: Nearby<'a>,
    from: Option<(usize, Nearby<'a>)>,
}

impl<'a> Linking<'a> {
    const fn new(into: &'a Folder, donors: &'a Donors) -> Self {
        Self {
            donors,
            into: Nearby::new(into),
            from: None,
        }
    }

    /// Makes a donor's file an entry of the tree, where there is one that is as it was sealed.
    fn link(&mut self, index: usize, path: &TreePath) -> io::Result<Option<Linked>> {
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

/// A chunk that a donor has.
#[derive(Debug)]
struct Loan {
    ordinal: u32,
    spot: Spot,
    place: Place,
}

/// Chunks that stand beside each other at both ends.
#[derive(Debug, Clone, Copy)]
struct Run {
    source: usize,
    from: u64,
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

    /// Links files that donors have, by entry in the order of the tree. Returns those that could be, in that order.
    /// Blocks.
    pub(super) fn link(&self, lent: &[usize], donors: &Donors) -> io::Result<Vec<Linked>> {
        let path = |index: usize| &self.manifest.tree().entries()[index].path;
        let folder = |index: usize| in_folder(path(index).as_bytes()).0;
        // By folder: where names are made, only one thread can.
        let folders: Vec<&[usize]> = lent
            .chunk_by(|one, next| folder(*one) == folder(*next))
            .collect();
        let linked = at_once(&folders, |files| {
            let mut linking = Linking::new(&self.folder, donors);
            let linked = files.iter().map(|&index| linking.link(index, path(index)));
            linked.filter_map(Result::transpose).collect()
        })?;
        Ok(linked.into_iter().flat_map(Vec::into_iter).collect())
    }

    /// Copies the chunks that donors have. Blocks.
    ///
    /// # Errors
    /// They cannot be written; a donor that cannot be read is as good as none.
    pub(in crate::transfer) fn copy_from(&mut self, donors: &Donors) -> io::Result<()> {
        let mut lacking = Vec::new();
        for &(ordinal, spot) in donors.chunks() {
            if !self.kept[ordinal as usize] {
                let copies = self.places.of_chunk(ordinal).iter();
                lacking.extend(copies.map(|place| Loan {
                    ordinal,
                    spot,
                    place: *place,
                }));
            }
        }
        // Nearly in this order already, which a stable sort makes use of.
        lacking.sort_by_key(|copy| (copy.place.index, copy.place.offset));
        // Into different files, so that nobody waits for another's lock.
        let files: Vec<&[Loan]> = lacking
            .chunk_by(|one, next| one.place.index == next.place.index)
            .collect();
        let failed = at_once(&files, |copies| self.copy_file(donors, copies))?;
        let failed: HashSet<u32> = failed.into_iter().flatten().collect();
        for Loan { ordinal, .. } in lacking {
            self.kept[ordinal as usize] = !failed.contains(&ordinal);
        }
        Ok(())
    }

    /// Copies what donors have of one file, in its order; returns the chunks that could not be.
    fn copy_file(&self, donors: &Donors, copies: &[Loan]) -> io::Result<Vec<u32>> {
        let (mut copying, mut failed) = (Copying { donors, open: None }, Vec::new());
        let mut open = Open::default();
        let bytes = |copy: &Loan| u64::from(self.manifest.chunks()[copy.ordinal as usize].bytes);
        let beside = |one: &Loan, next: &Loan| {
            one.spot.source == next.spot.source
                && one.spot.offset + bytes(one) == next.spot.offset
                && one.place.offset + bytes(one) == next.place.offset
        };
        for together in copies.chunk_by(beside) {
            let Some(first) = together.first() else {
                continue;
            };
            let run = Run {
                source: first.spot.source,
                from: first.spot.offset,
                to: first.place.offset,
                bytes: together.iter().map(bytes).sum(),
            };
            if !copying.copy(run, self.open(&mut open, first.place.index)?)? {
                failed.extend(together.iter().map(|copy| copy.ordinal));
            }
        }
        Ok(failed)
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
