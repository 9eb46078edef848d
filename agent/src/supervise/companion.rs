//! A process that works for a job beside its supervisor: start it, hear of it, end it.

use std::{
    io::{self, PipeReader, Read as _},
    os::fd::{AsFd as _, BorrowedFd},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Serialize, de::DeserializeOwned};

use super::{ROLE, protocol::decode};

/// Read in one go.
const PIECE_BYTES: usize = 4096;

/// See the module. Ends with this.
#[derive(Debug)]
pub(super) struct Companion {
    child: Child,
    words: PipeReader,
    received: Vec<u8>,
}

impl Companion {
    /// Starts this program in a role, which is told its task and given one input.
    pub(super) fn start(
        role: &str,
        task: &impl Serialize,
        input: impl Into<Stdio>,
    ) -> io::Result<Self> {
        let (words, told) = io::pipe()?;
        let child = Command::new("/proc/self/exe")
            .args([ROLE, role])
            .arg(serde_json::to_string(task)?)
            .env_clear()
            .current_dir("/")
            .stdin(input)
            .stdout(told)
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            child,
            words,
            received: Vec::new(),
        })
    }

    /// Readable when [`Self::hear`] has something.
    pub(super) fn words(&self) -> BorrowedFd<'_> {
        self.words.as_fd()
    }

    /// Takes in what it told; returns that, and whether there can be more.
    pub(super) fn hear<W: DeserializeOwned>(&mut self) -> (Vec<W>, bool) {
        let mut piece = [0; PIECE_BYTES];
        let open = match self.words.read(&mut piece) {
            Ok(count) => {
                self.received.extend_from_slice(&piece[..count]);
                count > 0
            }
            Err(error) => error.kind() == io::ErrorKind::Interrupted,
        };
        let mut words = Vec::new();
        loop {
            match decode(&mut self.received) {
                Ok(Some(word)) => words.push(word),
                Ok(None) => return (words, open),
                Err(_) => return (words, false),
            }
        }
    }

    pub(super) fn ask_to_end(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        // One that is gone already is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
