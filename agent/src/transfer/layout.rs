//! A tree on its way into a folder: files are made when something of them comes, and filled chunk by chunk.
//!
//! What an earlier try left in the folder is read and what matches is kept, so an interrupted transfer goes on
//! where it was. What [`Donors`] have is linked and copied. The folder has a name of its own until everything is
//! there; see [`super::stream`].

mod at_once;
mod borrow;
mod empty;
mod fill;

pub(super) use self::{borrow::Linked, empty::Empty};

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use bytes::Bytes as Buffer;
use common::{
    code::Code,
    problem::Problem,
    tree::{ChunkRef, Entry, EntryKind, chunk_id},
    units::Bytes,
};
use link::trees::{ChunkSink, Manifest, io_problem};
use rustix::{
    fs::{Mode, OFlags, symlinkat},
    io::Errno,
};

use self::fill::Left;
use super::{
    beneath::{Folder, in_folder},
    donors::{Donors, size_of},
    ordinals::Places,
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
    /// Every place of every chunk, those in linked files left out: nobody writes there.
    places: Places,
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
            places: Places::default(),
            kept: Vec::new(),
            reused: Vec::new(),
            linked: Vec::new(),
            empty: Vec::new(),
            leave,
            left: OnceLock::new(),
            finish,
        };
        layout.make_entries(donors)?;
        let is_linked = |index| {
            layout
                .linked
                .binary_search_by_key(&index, |linked| linked.entry)
        };
        layout.places = Places::of(manifest, |index| is_linked(index).is_err());
        let places = layout.places.iter();
        layout.kept = places.map(|(_, places)| places.is_empty()).collect();
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

    /// Makes folders, links and empty files, and those that an earlier try left as long as they are to be.
    fn make_entries(&mut self, donors: &Donors) -> io::Result<()> {
        let fresh = self.folder.names(0)?.is_empty();
        let mut clearing = borrow::Clearing::new(&self.folder, donors);
        let mut emptying = empty::Emptying::new(&self.folder, self.leave);
        let (mut lent, mut own) = (Vec::new(), Vec::new());
        let mut last: Option<&Entry> = None;
        for (index, entry) in self.manifest.tree().entries().iter().enumerate() {
            self.make_above(entry, last.replace(entry))?;
            match &entry.kind {
                EntryKind::Directory => {
                    self.folder
                        .make_folder(&entry.path, Mode::from_raw_mode(0o777))?;
                }
                EntryKind::File { executable, chunks } => {
                    if !fresh {
                        clearing.clear_way(index, &entry.path)?;
                    }
                    if donors.file(index).is_some() {
                        lent.push(index);
                    } else if chunks.is_empty() {
                        emptying.make(&entry.path, *executable)?;
                    } else {
                        own.push(index);
                    }
                }
                // Links are made last, when nothing is opened any more.
                EntryKind::Symlink { .. } => {}
            }
        }
        self.empty = emptying.finish();
        self.linked = self.link(&lent, donors)?;
        if !fresh {
            let is_linked = |index| self.linked.binary_search_by_key(&index, |link| link.entry);
            own.extend(lent.into_iter().filter(|index| is_linked(*index).is_err()));
            own.sort_unstable();
            self.reused = self.make_long_enough(&own)?;
        }
        Ok(())
    }

    /// Makes the folders above an entry: a tree need not list them. `last` is the entry before.
    fn make_above(&self, entry: &Entry, last: Option<&Entry>) -> io::Result<()> {
        let (parent, _) = in_folder(entry.path.as_bytes());
        if last.is_some_and(|last| in_folder(last.path.as_bytes()).0 == parent) {
            return Ok(());
        }
        let mut above: Vec<&[u8]> = entry.path.ancestors().collect();
        above.reverse();
        for folder in above {
            let made = last.is_some_and(|last| {
                last.path.as_bytes() == folder || last.path.ancestors().any(|above| above == folder)
            });
            if !made {
                self.folder
                    .make_folder(folder, Mode::from_raw_mode(0o777))?;
            }
        }
        Ok(())
    }

    /// Gives files their length. Returns those that had content before.
    fn make_long_enough(&self, files: &[usize]) -> io::Result<Vec<usize>> {
        let mut reused = Vec::new();
        for &index in files {
            let entry = &self.manifest.tree().entries()[index];
            let size = size_of(entry.kind.chunks());
            let mode = made_mode(is_executable(&entry.kind));
            let file = self.folder.write(&entry.path, mode, OFlags::empty())?;
            let is_size = file.metadata()?.len();
            if is_size != size {
                file.set_len(size)?;
            }
            if is_size > 0 {
                reused.push(index);
            }
        }
        Ok(reused)
    }

    fn keep_what_matches(&mut self) -> io::Result<()> {
        if self.reused.is_empty() {
            return Ok(());
        }
        let mut open = Open::default();
        for (ordinal, places) in self.places.iter() {
            let chunk = self.manifest.chunks()[ordinal as usize];
            let mut found = None;
            for place in places.iter().filter(|place| self.is_reused(place.index)) {
                let mut bytes = vec![0; chunk.bytes as usize];
                self.open(&mut open, place.index)?
                    .read_exact_at(&mut bytes, place.offset)?;
                if chunk_id(&bytes) == chunk.id {
                    found = Some(bytes);
                    break;
                }
            }
            if let Some(bytes) = found {
                for place in places {
                    self.open(&mut open, place.index)?
                        .write_all_at(&bytes, place.offset)?;
                }
                self.kept[ordinal as usize] = true;
            }
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

impl ChunkSink for Layout {
    fn has(&self, ordinal: u32, _: &ChunkRef) -> bool {
        self.kept[ordinal as usize]
    }

    fn reserve(&self, missing: Bytes) -> Result<(), Problem> {
        if missing == Bytes::ZERO {
            return Ok(());
        }
        let lacking = self.places.iter().zip(self.manifest.chunks());
        let lacking = lacking.filter(|((ordinal, _), _)| !self.kept[*ordinal as usize]);
        let sizes =
            lacking.map(|((_, places), chunk)| places.len() as u64 * u64::from(chunk.bytes));
        let needed = Bytes(sizes.sum());
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
