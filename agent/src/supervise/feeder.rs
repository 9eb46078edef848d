//! The process that serves a job's lazily mounted datasets, seen from the job's supervisor: start it, hear of it, end
//! it.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

use agent_core::sandbox_plan::{Identity, SandboxPlan};

use super::{LAZY, companion::Companion};
use crate::lazy::{ServeTask, ServedTree, Word, devices};

/// A job's feeder, where it has one. Ends with this.
#[derive(Debug, Default)]
pub(super) struct Feeder(Option<Companion>);

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
        let server = Companion::start(LAZY, &task, devices::pack(devices)?)?;
        Ok(Self(Some(server)))
    }

    /// Readable when [`Self::hear`] has something.
    pub(super) fn words(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(Companion::words)
    }

    /// Takes in what it told, and returns what of that is for the job's log.
    pub(super) fn hear(&mut self) -> Vec<String> {
        let Some(server) = &mut self.0 else {
            return Vec::new();
        };
        let (words, sound) = server.hear();
        let line = |Word::Said(line)| line;
        let mut lines: Vec<String> = words.into_iter().map(line).collect();
        if !sound {
            lines.push("what serves the lazily mounted datasets has ended".to_owned());
            self.end();
        }
        lines
    }

    /// Ends it. Reads that wait for it fail, so that whoever reads can end, too: not even a signal ends a process
    /// whose read is being served.
    pub(super) fn end(&mut self) {
        self.0 = None;
    }
}
