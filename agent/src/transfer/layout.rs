//! A tree on its way into a folder: files are made when something of them comes, and filled chunk by chunk.
//!
//! What an earlier try left in the folder is read and what matches is kept, so an interrupted transfer goes on
//! where it was. What [`Donors`] have is linked and copied. The folder has a name of its own until everything is
//! there; see [`super::stream`].

mod borrow;
mod empty;
mod fill;

pub(super) use self::{borrow::Linked, empty::Empty};

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use bytes::Bytes as Buffer;
use common::{
    code::Code,
    id::ChunkId,
    problem::Problem,
    tree::{ChunkRef, EntryKind, chunk_id},
    units::Bytes,
};
use link::trees::{ChunkSink, Manifest, io_problem};
use rustix::{
    fs::{Mode, OFlags, symlinkat},
    io::Errno,
};

use self::fill::Left;
use super::{
    beneath::Folder,
    donors::{Donors, size_of},
    stock::Stock,
};

/// Kept free on a disk that a tree is written to.
const KEEP_FREE: Bytes = Bytes::mib(16);
/// No more than this part of a small disk is kept free.
const KEEP_FREE_PART: u64 = 20;

/// What is done with the folder once everything is in it: it gets its name.
type Finish = Box<dyn Fn(&Layout) -> Result<(), Problem> + Send + Sync>;

/// How a file is left whose last chunk was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// As a person may go on with it.
    Open,
    /// As the cache keeps it, see [`Layout::is_sealed`].
    Sealed,
}

/// The folder that a tree is written into.
pub(super) struct Layout {
    path: PathBuf,
    folder: Folder,
    manifest: Manifest,
    /// Every place of every chunk: ordinal, file (an index into the tree's entries), offset. Sorted.
    places: Vec<(u32, usize, u64)>,
    /// By ordinal: whether the chunk is here already.
    kept: Vec<bool>,
    /// Files that had content before, by entry.
    reused: Vec<usize>,
    /// Files that are a donor's, by entry. Nothing may write to them.
    linked: Vec<Linked>,
    /// Files without content that have several names.
    empty: Vec<Empty>,
    leave: Leave,
    /// Begun with the first chunk that comes.
    left: OnceLock<Left>,
    finish: Finish,
}

/// The file of a layout that was used last: places come in order.
#[derive(Debug, Default)]
struct Open(Option<(usize, File)>);

impl Layout {
    /// Makes folders in the folder at `path`, which is there, links what donors have as whole files, and looks for
    /// what is in the folder already. Blocks.
    ///
    /// # Errors
    /// The folder holds something else, or the disk is full.
    pub(super) fn prepare(
        path: &Path,
        manifest: &Manifest,
        donors: &Donors,
        leave: Leave,
        finish: Finish,
    ) -> io::Result<Self> {
        let mut layout = Self {
            path: path.to_owned(),
            folder: Folder::open(path)?,
            manifest: manifest.clone(),
            places: Vec::new(),
            kept: vec![true; manifest.chunks().len()],
            reused: Vec::new(),
            linked: Vec::new(),
            empty: Vec::new(),
            leave,
            left: OnceLock::new(),
            finish,
        };
        layout.reused = layout.make_entries(donors)?;
        layout.places = places(manifest, &layout.linked);
        for (ordinal, ..) in &layout.places {
            layout.kept[*ordinal as usize] = false;
        }
        layout.keep_what_matches()?;
        Ok(layout)
    }

    /// Returns the folder's name, which it has until it is complete.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens what is here, and what comes, for other machines. Blocks.
    pub(super) fn stock(&self) -> Result<Stock, Problem> {
        let stock = Stock::filling(&self.manifest, &self.path, self.kept.clone());
        stock.map_err(|error| self.failed(&error))
    }

    /// Returns the files that had their full length already.
    fn make_entries(&mut self, donors: &Donors) -> io::Result<Vec<usize>> {
        let (mut reused, mut linked) = (Vec::new(), Vec::new());
        let fresh = self.folder.names(0)?.is_empty();
        let mut linking = borrow::Linking::new(&self.folder, donors);
        let mut emptying = empty::Emptying::new(&self.folder, self.leave);
        for (index, entry) in self.manifest.tree().entries().iter().enumerate() {
            // A tree need not list the folders above an entry.
            let mut above: Vec<&[u8]> = entry.path.ancestors().collect();
            above.reverse();
            let known = index
                .checked_sub(1)
                .map(|last| &self.manifest.tree().entries()[last].path);
            for folder in above {
                let made = known.is_some_and(|known| {
                    known.as_bytes() == folder || known.ancestors().any(|above| above == folder)
                });
                if !made {
                    self.folder
                        .make_folder(folder, Mode::from_raw_mode(0o777))?;
                }
            }
            match &entry.kind {
                EntryKind::Directory => {
                    self.folder
                        .make_folder(&entry.path, Mode::from_raw_mode(0o777))?;
                }
                EntryKind::File { executable, chunks } => {
                    let path = &entry.path;
                    if !fresh {
                        linking.clear_way(index, path)?;
                    }
                    if let Some(link) = linking.link(index, path)? {
                        linked.push(link);
                        continue;
                    }
                    let size = size_of(chunks);
                    if size == 0 {
                        emptying.make(path, *executable)?;
                        continue;
                    }
                    if fresh {
                        continue;
                    }
                    let file = self
                        .folder
                        .write(path, made_mode(*executable), OFlags::empty())?;
                    let is_size = file.metadata()?.len();
                    if is_size != size {
                        file.set_len(size)?;
                    }
                    if is_size > 0 {
                        reused.push(index);
                    }
                }
                // Links are made last, when nothing is opened any more.
                EntryKind::Symlink { .. } => {}
            }
        }
        self.empty = emptying.finish();
        self.linked = linked;
        Ok(reused)
    }

    fn keep_what_matches(&mut self) -> io::Result<()> {
        if self.reused.is_empty() {
            return Ok(());
        }
        let mut open = Open::default();
        let mut from = 0;
        while from < self.places.len() {
            let ordinal = self.places[from].0;
            let places = self.places[from..].iter();
            let to = from + places.take_while(|place| place.0 == ordinal).count();
            let chunk = self.manifest.chunks()[ordinal as usize];
            let mut found = None;
            for &(_, index, offset) in &self.places[from..to] {
                if !self.is_reused(index) {
                    continue;
                }
                let mut bytes = vec![0; chunk.bytes as usize];
                self.open(&mut open, index)?
                    .read_exact_at(&mut bytes, offset)?;
                if chunk_id(&bytes) == chunk.id {
                    found = Some(bytes);
                    break;
                }
            }
            if let Some(bytes) = found {
                for &(_, index, offset) in &self.places[from..to] {
                    self.open(&mut open, index)?.write_all_at(&bytes, offset)?;
                }
                self.kept[ordinal as usize] = true;
            }
            from = to;
        }
        Ok(())
    }

    fn is_reused(&self, index: usize) -> bool {
        self.reused.binary_search(&index).is_ok()
    }

    /// Returns a file of the tree, which is made if it is not there.
    fn open<'a>(&self, open: &'a mut Open, index: usize) -> io::Result<&'a File> {
        let file = match open.0.take() {
            Some(last) if last.0 == index => last,
            _ => {
                let entry = &self.manifest.tree().entries()[index];
                let mode = made_mode(is_executable(&entry.kind));
                let file = self.folder.write(&entry.path, mode, OFlags::empty())?;
                (index, file)
            }
        };
        Ok(&open.0.insert(file).1)
    }

    fn make_links(&self) -> io::Result<()> {
        for entry in self.manifest.tree().entries() {
            let EntryKind::Symlink { target } = &entry.kind else {
                continue;
            };
            let path = &entry.path;
            let (parent, name) = self.folder.parent(path.as_bytes())?;
            match symlinkat(target.as_bytes(), &parent, name) {
                Ok(()) => {}
                Err(Errno::EXIST) if self.folder.link(path)? == *target => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn failed(&self, error: &io::Error) -> Problem {
        io_problem(format!("cannot write to {}", self.path.display()), error)
    }
}

/// Returns the mode with which a file is made, of which a person's habits take something away.
fn made_mode(executable: bool) -> Mode {
    Mode::from_raw_mode(if executable { 0o777 } else { 0o666 })
}

const fn is_executable(kind: &EntryKind) -> bool {
    matches!(
        kind,
        EntryKind::File {
            executable: true,
            ..
        }
    )
}

/// Returns every place of every chunk, sorted, those in linked files left out: nobody writes there.
fn places(manifest: &Manifest, linked: &[Linked]) -> Vec<(u32, usize, u64)> {
    let mut linked = linked.iter().peekable();
    let mut by_id: Vec<(ChunkId, usize, u64)> = Vec::new();
    for (index, entry) in manifest.tree().entries().iter().enumerate() {
        if linked.next_if(|linked| linked.entry == index).is_some() {
            continue;
        }
        if let EntryKind::File { chunks, .. } = &entry.kind {
            let mut offset = 0;
            for chunk in chunks {
                by_id.push((chunk.id, index, offset));
                offset += u64::from(chunk.bytes);
            }
        }
    }
    let mut ordinals: HashMap<ChunkId, u32> = by_id.iter().map(|(id, ..)| (*id, 0)).collect();
    if !ordinals.is_empty() {
        for (ordinal, chunk) in (0_u32..).zip(manifest.chunks()) {
            ordinals
                .entry(chunk.id)
                .and_modify(|known| *known = ordinal);
        }
    }
    let mut places: Vec<_> = by_id
        .into_iter()
        .map(|(id, index, offset)| (ordinals[&id], index, offset))
        .collect();
    places.sort_unstable();
    places
}

impl ChunkSink for Layout {
    fn has(&self, ordinal: u32, _: &ChunkRef) -> bool {
        self.kept[ordinal as usize]
    }

    fn reserve(&self, missing: Bytes) -> Result<(), Problem> {
        if missing == Bytes::ZERO {
            return Ok(());
        }
        let size = |(ordinal, ..): &(u32, usize, u64)| match self.kept[*ordinal as usize] {
            true => 0,
            false => u64::from(self.manifest.chunks()[*ordinal as usize].bytes),
        };
        let needed = Bytes(self.places.iter().map(size).sum());
        let free = free(&self.folder).map_err(|error| self.failed(&error))?;
        if needed > free {
            let what = format!("cannot write to {}", self.path.display());
            let why = format!("{needed} are needed, but the disk has {free} free");
            return Err(Problem::new(Code::DiskFull, what, why));
        }
        Ok(())
    }

    fn put(&self, chunks: &[(u32, Buffer)]) -> Result<(), Problem> {
        self.fill(chunks).map_err(|error| self.failed(&error))
    }

    fn seal(&self) -> Result<(), Problem> {
        if !self.is_full() {
            let cause = io::Error::other("something of it is still being written, or could not be");
            return Err(self.failed(&cause));
        }
        self.make_links().map_err(|error| self.failed(&error))?;
        (self.finish)(self)
    }
}

/// Returns how much may be written to the folder's disk.
pub(super) fn free(folder: &Folder) -> io::Result<Bytes> {
    let disk = rustix::fs::fstatvfs(folder)?;
    let keep = KEEP_FREE
        .0
        .min(disk.f_blocks * disk.f_frsize / KEEP_FREE_PART);
    Ok(Bytes((disk.f_bavail * disk.f_frsize).saturating_sub(keep)))
}
