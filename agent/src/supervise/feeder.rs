//! The process that serves a job's lazily mounted datasets, seen from the job's supervisor: start it, hear of it, end
//! it.

use std::{
    io::{self, PipeReader, Read as _},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    process::{Child, Command, Stdio},
};

use agent_core::sandbox_plan::{Identity, SandboxPlan};

use super::{LAZY, ROLE, protocol::decode};
use crate::lazy::{ServeTask, ServedTree, Word, devices};

/// Read in one go.
const PIECE_BYTES: usize = 4096;

/// A job's feeder, where it has one. Ends with this.
#[derive(Debug, Default)]
pub(super) struct Feeder(Option<Server>);

#[derive(Debug)]
struct Server {
    child: Child,
    words: PipeReader,
    received: Vec<u8>,
}

impl Feeder {
    /// Starts what serves the plan's datasets by these devices.
    pub(super) fn start(plan: &SandboxPlan, devices: &[OwnedFd]) -> io::Result<Self> {
        let Some(first) = plan.lazy().next() else {
            return Ok(Self::default());
        };
        let task = ServeTask {
            mounts: plan.lazy().map(ServedTree::from).collect(),
            agent: first.agent.clone(),
            uid: match plan.identity {
                Identity::Private { uid } => Some(uid),
                Identity::Agent => None,
            },
        };
        let (words, told) = io::pipe()?;
        let child = Command::new("/proc/self/exe")
            .args([ROLE, LAZY])
            .arg(serde_json::to_string(&task)?)
            .env_clear()
            .current_dir("/")
            .stdin(devices::pack(devices)?)
            .stdout(told)
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self(Some(Server {
            child,
            words,
            received: Vec::new(),
        })))
    }

    /// Readable when [`Self::hear`] has something.
    pub(super) fn words(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(|server| server.words.as_fd())
    }

    /// Takes in what it told, and returns what of that is for the job's log.
    pub(super) fn hear(&mut self) -> Vec<String> {
        let Some(server) = &mut self.0 else {
            return Vec::new();
        };
        let mut piece = [0; PIECE_BYTES];
        let open = match server.words.read(&mut piece) {
            Ok(count) => {
                server.received.extend_from_slice(&piece[..count]);
                count > 0
            }
            Err(error) => error.kind() == io::ErrorKind::Interrupted,
        };
        let (mut lines, mut sound) = (Vec::new(), open);
        loop {
            match decode(&mut server.received) {
                Ok(Some(Word::Said(line))) => lines.push(line),
                Ok(None) => break,
                Err(_) => {
                    sound = false;
                    break;
                }
            }
        }
        if !sound {
            lines.push("what serves the lazily mounted datasets has ended".to_owned());
            self.end();
        }
        lines
    }

    /// Ends it. Reads that wait for it fail, so that whoever reads can end, too: not even a signal ends a process
    /// whose read is being served.
    pub(super) fn end(&mut self) {
        if let Some(mut server) = self.0.take() {
            // One that is gone already is gone.
            let _ = server.child.kill();
            let _ = server.child.wait();
        }
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.end();
    }
}
