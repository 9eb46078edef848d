//! The logs of attempts: one append-only file each, `logs/JOB/ATTEMPT`, the same bytes as in the machine's spool
//! (see [`common::logs`]).
//!
//! The agent's door appends at exactly the offset where the file ends and acknowledges what is synced; followers
//! read what is written. A file that a crash has cut is brought back to its last whole record when it is opened
//! to be written. Everything here blocks: doors call it off the event loop.

mod file;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use common::{
    code::Code,
    id::{AttemptId, JobId},
    logs::NotALog,
    problem::Problem,
};

pub(crate) use self::file::LogFile;

/// Most bytes of one attempt's log. An agent cuts it before that; beyond it, nothing is taken.
pub(crate) const MAX_LOG_BYTES: u64 = 1 << 30;
/// Open logs that may be listed before the list is tidied.
const LISTED_BEFORE_TIDYING: usize = 1024;

/// Why a log could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error("it continues at {found}, and {expected} bytes are here")]
    Offset { expected: u64, found: u64 },
    #[error("the piece does not end with a whole record")]
    CutRecord,
    #[error("the piece is not a log")]
    NotALog(#[from] NotALog),
    #[error("it is longer than {MAX_LOG_BYTES} bytes")]
    TooLong,
    #[error("the file cannot be read or written")]
    Io(#[from] io::Error),
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        let code = match &error {
            LogError::Offset { .. } | LogError::CutRecord | LogError::NotALog(_) => Code::Protocol,
            LogError::TooLong => Code::Limit,
            LogError::Io(error) if error.kind() == io::ErrorKind::StorageFull => Code::DiskFull,
            LogError::Io(_) => Code::Io,
        };
        let why = crate::store::chain(&error);
        Self::new(code, "The log of the attempt was not taken", why)
    }
}

/// The folder of all logs.
#[derive(Debug, Clone)]
pub(crate) struct Logs {
    folder: Arc<PathBuf>,
    open: Arc<Mutex<HashMap<AttemptId, Weak<LogFile>>>>,
}

impl Logs {
    /// Opens the folder, which is made where it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self {
            folder: Arc::new(folder.to_owned()),
            open: Arc::default(),
        })
    }

    /// Returns the log to be written, the same one to everybody who asks.
    ///
    /// # Errors
    /// The file cannot be made or read, or is not a log.
    pub(crate) fn writer(&self, attempt: AttemptId) -> Result<Arc<LogFile>, LogError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = open.get(&attempt).and_then(Weak::upgrade) {
            return Ok(log);
        }
        let job = self.job_folder(attempt.job);
        if !job.is_dir() {
            fs::create_dir_all(&job)?;
            File::open(&*self.folder)?.sync_all()?;
        }
        let log = Arc::new(LogFile::open(&self.path(attempt))?);
        File::open(&job)?.sync_all()?;
        if open.len() >= LISTED_BEFORE_TIDYING {
            open.retain(|_, log| log.strong_count() > 0);
        }
        open.insert(attempt, Arc::downgrade(&log));
        Ok(log)
    }

    /// Returns how many bytes can be read now; of a log that nobody writes, a crash's rest may be among them.
    pub(crate) fn length(&self, attempt: AttemptId) -> u64 {
        match self.opened(attempt) {
            Some(log) => log.length(),
            None => fs::metadata(self.path(attempt)).map_or(0, |file| file.len()),
        }
    }

    /// Reads whole records from `offset` on, at most `most` bytes; empty where there are none yet.
    ///
    /// # Errors
    /// The file cannot be read, or there is no record at `offset`.
    pub(crate) fn read(
        &self,
        attempt: AttemptId,
        offset: u64,
        most: usize,
    ) -> Result<Vec<u8>, LogError> {
        let available = self.length(attempt).saturating_sub(offset);
        let length = usize::try_from(available).unwrap_or(most).min(most);
        if length == 0 {
            return Ok(Vec::new());
        }
        let mut bytes = vec![0; length];
        File::open(self.path(attempt))?.read_exact_at(&mut bytes, offset)?;
        let whole = match common::logs::whole_records(&bytes) {
            // What a loss of power has left there is cut off when the log is written next.
            Err(NotALog) if !self.is_open(attempt) => 0,
            whole => whole?,
        };
        bytes.truncate(whole);
        Ok(bytes)
    }

    /// Deletes the logs of a job that is no more.
    ///
    /// # Errors
    /// The folder cannot be deleted.
    pub(crate) fn remove(&self, job: JobId) -> io::Result<()> {
        match fs::remove_dir_all(self.job_folder(job)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Returns how many attempts have a log, and their bytes.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn totals(&self) -> io::Result<(u64, u64)> {
        let (mut count, mut bytes) = (0, 0);
        for job in fs::read_dir(&*self.folder)? {
            for log in fs::read_dir(job?.path())? {
                count += 1;
                bytes += log?.metadata()?.len();
            }
        }
        Ok((count, bytes))
    }

    fn opened(&self, attempt: AttemptId) -> Option<Arc<LogFile>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(&attempt).and_then(Weak::upgrade)
    }

    fn is_open(&self, attempt: AttemptId) -> bool {
        self.opened(attempt).is_some()
    }

    fn job_folder(&self, job: JobId) -> PathBuf {
        self.folder.join(job.to_string())
    }

    fn path(&self, attempt: AttemptId) -> PathBuf {
        self.job_folder(attempt.job)
            .join(format!("{}.{}", attempt.task, attempt.number))
    }
}
