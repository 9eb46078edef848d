//! The files in which pieces are: written from front to back by one writer, read at any place by many.
//!
//! Nothing here knows what a piece is for; what of a file counts, the index says.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use super::{
    record::{self, Header, MAX_RECORD_BYTES},
    step, sync_folder,
};

/// Most files that stay open for readers.
const MAX_OPEN: usize = 64;

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
}

impl Packs {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            open: Mutex::default(),
        }
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
        let file = self.file(pack)?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, u64::from(offset))?;
        Ok(bytes.into())
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
        Ok(fs::metadata(self.path(pack))?.len())
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
        self.file(pack)?.sync_data()
    }

    /// Sees to it that the files' names are on the disk.
    pub(super) fn sync_names(&self) -> io::Result<()> {
        sync_folder(&self.folder)
    }

    /// Deletes a pack, if it is there. Who reads it goes on.
    pub(super) fn remove(&self, pack: u32) -> io::Result<()> {
        step();
        self.open().remove(&pack);
        match fs::remove_file(self.path(pack)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
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

    /// Has a pack's sync fail until it is opened again: this file is none that can be synced.
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
    /// Appends records; none of them is there where this fails.
    pub(super) fn append(&mut self, records: &[u8]) -> io::Result<()> {
        let at = u64::from(self.length);
        step();
        if let Err(error) = self.file.write_all_at(records, at) {
            // What stays is behind the end, and overwritten next.
            let _ = self.file.set_len(at);
            return Err(error);
        }
        let more = u32::try_from(records.len()).map_err(io::Error::other)?;
        self.length += more;
        Ok(())
    }
}
