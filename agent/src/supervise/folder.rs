//! The attempt's folder: names of its files, its lock, and its socket.
//!
//! Sockets are reached through the folder's descriptor in `/proc`, because a socket's path has at most 108
//! bytes and an attempt's may be longer.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::{
            fs::OpenOptionsExt as _,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use agent_core::sandbox_plan::SandboxPlan;
use rustix::fs::{FlockOperation, flock};

use super::protocol::SandboxResult;

/// Largest `plan.json` or `result.json` that is read, in bytes. A plan holds a job's whole command and
/// environment, which are bounded at the coordinator's door.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// The attempt's plan, as JSON.
pub(super) const PLAN: &str = "plan.json";
const RESULT: &str = "result.json";

/// An attempt's folder, open.
#[derive(Debug)]
pub(super) struct AttemptFolder {
    path: PathBuf,
    folder: File,
}

impl AttemptFolder {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            folder: File::open(path)?,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn socket(&self) -> PathBuf {
        format!("/proc/self/fd/{}/control.sock", self.folder.as_raw_fd()).into()
    }

    pub(super) fn listen(&self) -> io::Result<UnixListener> {
        match std::fs::remove_file(self.file("control.sock")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => UnixListener::bind(self.socket()),
        }
    }

    pub(super) fn connect(&self) -> io::Result<UnixStream> {
        let stream = UnixStream::connect(self.socket())?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }

    /// Takes the lock that says that a supervisor lives; `None` while one does. The sandbox's first process holds
    /// it, too, so that it is free only when nothing of the attempt runs any more.
    pub(super) fn try_lock(&self) -> io::Result<Option<File>> {
        let file = self.lock_file()?;
        match flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until no supervisor lives.
    pub(super) fn wait_for_lock(&self) -> io::Result<File> {
        let file = self.lock_file()?;
        loop {
            match flock(file.as_fd(), FlockOperation::LockExclusive) {
                Ok(()) => return Ok(file),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn lock_file(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        options.open(self.file("lock"))
    }

    pub(super) fn write_plan(&self, plan: &SandboxPlan) -> io::Result<()> {
        let json = serde_json::to_vec(plan)?;
        replace(&self.file(PLAN), &json).map(drop)
    }

    pub(super) fn plan(&self) -> io::Result<Option<SandboxPlan>> {
        read_json(&self.file(PLAN))
    }

    /// Returns the file: it is in place, and safe once its owner has seen to that.
    pub(super) fn write_result(&self, result: &SandboxResult) -> io::Result<File> {
        let json = serde_json::to_vec(result)?;
        replace(&self.file(RESULT), &json)
    }

    pub(super) fn result(&self) -> io::Result<Option<SandboxResult>> {
        read_json(&self.file(RESULT))
    }

    pub(super) fn has_started(&self) -> bool {
        self.file("started").exists()
    }
}

/// Sees to it that the result in an attempt's folder outlives the machine's fall. Blocks.
///
/// # Errors
/// There is none, or the disk fails.
pub(crate) fn keep_result(dir: &Path) -> io::Result<()> {
    File::open(dir.join(RESULT))?.sync_data()
}

/// Puts a file in place whole or not at all, as far as processes see it.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let draft = path.with_extension("draft");
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600);
    let mut file = options.open(&draft)?;
    file.write_all(bytes)?;
    std::fs::rename(&draft, path)?;
    Ok(file)
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, MAX_FILE_BYTES), &mut bytes)?;
    Ok(Some(serde_json::from_slice(&bytes)?))
}
