//! The files in which pieces are: written from front to back by one writer, read at any place by many.
//!
//! A pack is written on the disk. Where the org's bytes live in a bucket, a whole one is an object there, and its file
//! goes. Nothing here knows what a piece is for; what of a pack counts, and where it is, the index says.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use bytes::Bytes;
use rustix::{
    buffer::spare_capacity,
    io::{Errno, pread, pwritev},
};

use super::{
    depot::{AT_ONCE, Depot},
    object::Object,
    record::{self, Header, MAX_RECORD_BYTES},
    step, sync_folder, there,
};

/// The folder of packs in a depot.
pub(super) const PACKS: &str = "packs";
/// Most files that stay open for readers.
const MAX_OPEN: usize = 64;

/// Most parts of one write (IOV_MAX).
const MAX_PARTS: usize = 1024;
/// So much is read at once of a pack that is walked through.
const WINDOW_BYTES: u32 = 4 << 20;
const _: () = assert!(WINDOW_BYTES >= MAX_RECORD_BYTES);

/// What whoever walks through a pack says to each record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    On,
    Stop,
}

#[derive(Debug)]
pub(super) struct Packs {
    folder: PathBuf,
    open: Mutex<BTreeMap<u32, Arc<File>>>,
    remote: RwLock<Remote>,
    /// See [`Object`].
    opening: u64,
}

/// What is in a bucket.
#[derive(Debug, Default)]
struct Remote {
    depot: Option<Arc<Depot>>,
    /// With the openings by which they have their names.
    packs: BTreeMap<u32, u64>,
}

/// A part of a pack that is read in one go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) pack: u32,
    pub(super) offset: u32,
    pub(super) length: u32,
}

impl Packs {
    /// Knows of these packs that they are in the depot.
    pub(super) fn new(
        folder: PathBuf,
        depot: Option<Arc<Depot>>,
        packs: BTreeMap<u32, u64>,
    ) -> Self {
        Self {
            folder,
            open: Mutex::default(),
            remote: RwLock::new(Remote { depot, packs }),
            opening: rand::random::<u64>().max(1),
        }
    }

    /// Returns the depot, if packs are or were in one.
    pub(super) fn depot(&self) -> Option<Arc<Depot>> {
        self.remote(|remote| remote.depot.clone())
    }

    pub(super) fn set_depot(&self, depot: Option<Arc<Depot>>) {
        self.change_remote(|remote| remote.depot = depot);
    }

    pub(super) fn is_away(&self, pack: u32) -> bool {
        self.remote(|remote| remote.packs.contains_key(&pack))
    }

    /// Returns as what a pack goes to the depot.
    pub(super) const fn shipped_as(&self, pack: u32) -> Object {
        Object {
            pack,
            opening: self.opening,
        }
    }

    /// Returns whether this is what a pack in the depot is.
    pub(super) fn has_object(&self, object: Object) -> bool {
        self.remote(|remote| remote.packs.get(&object.pack) == Some(&object.opening))
    }

    /// Hears that the index says that a pack is in the depot: its file goes. Who reads it goes on.
    pub(super) fn went(&self, object: Object) -> io::Result<()> {
        self.change_remote(|remote| {
            remote.packs.insert(object.pack, object.opening);
        });
        self.remove_file(object.pack)
    }

    /// Hears that the index says that a pack is on the disk.
    pub(super) fn came(&self, pack: u32) {
        self.change_remote(|remote| {
            remote.packs.remove(&pack);
        });
    }

    fn remote<T>(&self, look: impl FnOnce(&Remote) -> T) -> T {
        // Every change of it is one step: it is whole whatever a thread that held it did.
        look(&self.remote.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change_remote(&self, change: impl FnOnce(&mut Remote)) {
        change(&mut self.remote.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Returns the depot where a pack is in it, and the name that it has there.
    pub(super) fn depot_of(&self, pack: u32) -> io::Result<Option<(Arc<Depot>, String)>> {
        self.remote(|remote| {
            let Some(&opening) = remote.packs.get(&pack) else {
                return Ok(None);
            };
            let lost = || io::Error::other("nobody knows any more in which bucket it is");
            let depot = remote.depot.clone().ok_or_else(lost)?;
            Ok(Some((depot, Object { pack, opening }.name())))
        })
    }

    /// Returns the numbers of the files that are there, in order.
    pub(super) fn numbers(&self) -> io::Result<Vec<u32>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            match name.to_str().and_then(|name| name.parse().ok()) {
                Some(number) => numbers.push(number),
                None => tracing::warn!(name = %name.display(), "a file among the packs is none"),
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Returns these bytes of a pack.
    pub(super) fn read(&self, pack: u32, offset: u32, length: usize) -> io::Result<Bytes> {
        wherever(|| {
            if let Some((depot, name)) = self.depot_of(pack)? {
                let from = u64::from(offset);
                return depot.read(&name, from..from + length as u64);
            }
            let file = self.file(pack)?;
            let mut bytes = Vec::with_capacity(length);
            while bytes.len() < length {
                let at = u64::from(offset) + bytes.len() as u64;
                // Not cleared first: megabytes are read at once.
                match pread(&file, spare_capacity(&mut bytes), at) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
            bytes.truncate(length);
            Ok(bytes.into())
        })
    }

    /// Returns parts of packs, in this order. What is in a depot is read a few parts at once.
    ///
    /// # Errors
    /// One cannot be read: with its place in the order.
    pub(super) fn read_runs(&self, runs: &[Run]) -> Result<Vec<Bytes>, (usize, io::Error)> {
        let mut read = Vec::with_capacity(runs.len());
        while read.len() < runs.len() {
            let at = read.len();
            let failed = |error| (at, error);
            let first = &runs[at];
            let Some((depot, _)) = self.depot_of(first.pack).map_err(failed)? else {
                let bytes = self.read(first.pack, first.offset, first.length as usize);
                read.push(bytes.map_err(failed)?);
                continue;
            };
            let here = runs[at..].iter().take(AT_ONCE).map_while(|run| {
                let (_, name) = self.depot_of(run.pack).ok()??;
                let from = u64::from(run.offset);
                Some((name, from..from + u64::from(run.length)))
            });
            let parts: Vec<_> = here.collect();
            let parts = depot.read_all(&parts);
            read.extend(parts.map_err(|(after, error)| (at + after, error))?);
        }
        Ok(read)
    }

    /// Hands the records of a pack from `from` to `until` to `each`, with their places and pieces, front to back.
    /// Returns the end of the last one that it went on from: `until`, where all of it is records.
    pub(super) fn walk<E: From<io::Error>>(
        &self,
        pack: u32,
        from: u32,
        until: u32,
        mut each: impl FnMut(u32, &Header, Bytes) -> Result<Step, E>,
    ) -> Result<u32, E> {
        let mut at = from;
        while at < until {
            let mut rest = self.read(pack, at, WINDOW_BYTES.min(until - at) as usize)?;
            let begin = at;
            while let Ok((header, piece)) = record::split(&mut rest) {
                if each(at, &header, piece)? == Step::Stop {
                    return Ok(at);
                }
                at += header.record_bytes();
            }
            if at == begin {
                break;
            }
        }
        Ok(at)
    }

    pub(super) fn length(&self, pack: u32) -> io::Result<u64> {
        wherever(|| match self.depot_of(pack)? {
            Some((depot, name)) => depot.length(&name),
            None => Ok(fs::metadata(self.path(pack))?.len()),
        })
    }

    /// Opens a pack to write at `length`, behind which nothing stays.
    pub(super) fn writer(&self, number: u32, length: u32) -> io::Result<Writer> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = Arc::new(options.open(self.path(number))?);
        file.set_len(length.into())?;
        self.open().insert(number, Arc::clone(&file));
        Ok(Writer {
            number,
            file,
            length,
        })
    }

    /// Sees to it that a pack's bytes are on the disk.
    pub(super) fn sync(&self, pack: u32) -> io::Result<()> {
        step();
        let synced = self.file(pack)?.sync_data();
        if synced.is_err() {
            // Whoever writes it next opens it anew.
            self.open().remove(&pack);
        }
        synced
    }

    /// Sees to it that the files' names are on the disk.
    pub(super) fn sync_names(&self) -> io::Result<()> {
        sync_folder(&self.folder)
    }

    /// Deletes a pack, if it is there. Who reads its file goes on.
    pub(super) fn remove(&self, pack: u32) -> io::Result<()> {
        if let Some((depot, name)) = self.depot_of(pack)? {
            step();
            depot.remove(&name)?;
            self.came(pack);
        }
        self.remove_file(pack)
    }

    /// Keeps the file of a pack that goes, where there is one, among what is damaged.
    pub(super) fn keep_damaged(&self, pack: u32, root: &Path) -> io::Result<()> {
        let kept = root.join("damaged").join(format!("pack-{pack}"));
        match fs::hard_link(self.path(pack), kept) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            done => there(done),
        }
    }

    pub(super) fn remove_file(&self, pack: u32) -> io::Result<()> {
        step();
        self.open().remove(&pack);
        there(fs::remove_file(self.path(pack)))
    }

    pub(super) fn path(&self, pack: u32) -> PathBuf {
        path_in(&self.folder, pack)
    }

    fn file(&self, pack: u32) -> io::Result<Arc<File>> {
        if let Some(file) = self.open().get(&pack) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(File::open(self.path(pack))?);
        let mut open = self.open();
        if open.len() >= MAX_OPEN {
            // The oldest pack: uploads and what was uploaded last are at the other end.
            open.pop_first();
        }
        open.insert(pack, Arc::clone(&file));
        Ok(file)
    }

    /// Has every file be opened anew.
    #[cfg(test)]
    pub(super) fn forget_open(&self) {
        self.open().clear();
    }

    /// Has a pack's sync fail once: this file is none that can be synced.
    #[cfg(test)]
    pub(super) fn fail_to_sync(&self, pack: u32) {
        let file = File::open("/dev/null").expect("it is everywhere");
        self.open().insert(pack, Arc::new(file));
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<File>>> {
        // The table is whole whatever a thread that held it did.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads once more where a pack is not there: one that moves meanwhile is at its other place by then.
fn wherever<T>(read: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => read(),
        done => done,
    }
}

pub(super) fn path_in(folder: &Path, pack: u32) -> PathBuf {
    folder.join(format!("{pack:08}"))
}

/// The end of a pack that grows.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) number: u32,
    file: Arc<File>,
    /// So much of it was written as a whole.
    pub(super) length: u32,
}

impl Writer {
    /// Appends what is in these parts; nothing of it is there where this fails.
    pub(super) fn append(&mut self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let at = u64::from(self.length);
        let bytes = parts.iter().map(|part| part.len()).sum::<usize>();
        step();
        if let Err(error) = write_all_at(&self.file, parts, at) {
            // What stays is behind the end, and overwritten next.
            let _ = self.file.set_len(at);
            return Err(error);
        }
        let more = u32::try_from(bytes).map_err(io::Error::other)?;
        self.length += more;
        Ok(())
    }
}

fn write_all_at(file: &File, mut parts: &mut [IoSlice<'_>], mut at: u64) -> io::Result<()> {
    while !parts.is_empty() {
        let most = parts.len().min(MAX_PARTS);
        match pwritev(file, &parts[..most], at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                IoSlice::advance_slices(&mut parts, written);
                at += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
