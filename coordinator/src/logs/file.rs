//! One attempt's log on disk, while somebody writes it.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use common::logs::{MAX_RECORD_BYTES, NotALog, RECORD_HEADER_BYTES, whole_records};

use super::{LogError, MAX_LOG_BYTES};

/// An open log.
#[derive(Debug)]
pub(crate) struct LogFile {
    /// Locked while a piece is appended.
    file: Mutex<File>,
    /// For syncing, so that a sync does not keep anybody from appending.
    sync: File,
    written: AtomicU64,
    synced: AtomicU64,
}

impl LogFile {
    /// Opens or makes the file, and cuts off what a crash has left of a record.
    pub(super) fn open(path: &Path) -> Result<Self, LogError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let length = whole_length(&file)?;
        file.set_len(length)?;
        file.sync_all()?;
        Ok(Self {
            sync: file.try_clone()?,
            file: Mutex::new(file),
            written: AtomicU64::new(length),
            synced: AtomicU64::new(length),
        })
    }

    /// Returns how many bytes followers can read.
    pub(crate) fn length(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Returns how many bytes survive a loss of power.
    pub(crate) fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// Appends whole records at exactly the end, and returns the new end. It is not safe before
    /// [`LogFile::sync`].
    ///
    /// # Errors
    /// The offset is not the end, the bytes are not whole records, the log would be too long, or the disk
    /// refuses; nothing is changed then.
    pub(crate) fn append(&self, offset: u64, bytes: &[u8]) -> Result<u64, LogError> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let expected = self.length();
        if offset != expected {
            return Err(LogError::Offset {
                expected,
                found: offset,
            });
        }
        if whole_records(bytes)? != bytes.len() {
            return Err(LogError::CutRecord);
        }
        let end = offset.saturating_add(bytes.len() as u64);
        if end > MAX_LOG_BYTES {
            return Err(LogError::TooLong);
        }
        if let Err(error) = file.write_all_at(bytes, offset) {
            // Followers never read beyond `written`; the next try writes over what is there.
            file.set_len(offset)?;
            return Err(error.into());
        }
        self.written.store(end, Ordering::Release);
        Ok(end)
    }

    /// Makes everything that was appended so far safe, and returns how much that is.
    ///
    /// # Errors
    /// The disk refuses. What it holds now is unknown until the file is opened anew.
    pub(crate) fn sync(&self) -> Result<u64, LogError> {
        let end = self.length();
        if end > self.synced() {
            self.sync.sync_data()?;
            self.synced.fetch_max(end, Ordering::AcqRel);
        }
        Ok(end)
    }
}

/// Returns how much of the file is whole records. Reads only their headers.
fn whole_length(file: &File) -> Result<u64, LogError> {
    let length = file.metadata()?.len();
    let mut reader = BufReader::with_capacity(MAX_RECORD_BYTES, file);
    reader.seek(SeekFrom::Start(0))?;
    let mut whole = 0;
    loop {
        let mut header = [0; RECORD_HEADER_BYTES];
        match reader.read_exact(&mut header) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(whole),
            Err(error) => return Err(error.into()),
        }
        let [.., a, b, c, d] = header;
        let body = u64::from(u32::from_le_bytes([a, b, c, d]));
        if body == 0 || whole_records(&header).is_err() {
            // After a loss of power a file can end in zeros or worse: what is before them is good. No record
            // is empty.
            tracing::warn!(at = whole, "a log is cut where it stops being one");
            return Ok(whole);
        }
        let end = whole + RECORD_HEADER_BYTES as u64 + body;
        if end > length {
            return Ok(whole);
        }
        reader.seek_relative(i64::try_from(body).map_err(|_| NotALog)?)?;
        whole = end;
    }
}
