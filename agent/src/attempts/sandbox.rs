//! What becomes of an attempt's sandbox, where another task of its job may follow in it.

use std::sync::Arc;

use common::id::AttemptId;

use super::{Work, prepare::Pins};
use crate::supervise::{Staying, Supervisor, Supervisors};

/// What may be left of one.
#[derive(Debug)]
pub(crate) struct Sandbox {
    /// The attempt that it was made for.
    pub(crate) first: AttemptId,
    /// Who has it.
    pub(crate) supervisor: Staying,
    /// What is read there.
    pub(crate) pins: Pins,
}

impl Work {
    /// Takes back a supervisor whose attempt has ended; returns it where its sandbox, made for `first`, may have another
    /// task.
    pub(super) fn take_back(
        &self,
        supervisor: Supervisor,
        first: Option<AttemptId>,
        pins: Pins,
    ) -> Option<Sandbox> {
        let Some(first) = first else {
            self.machine.supervisors.take_back(supervisor);
            return None;
        };
        let supervisor = Supervisors::stay(supervisor)?;
        Some(Sandbox {
            first,
            supervisor,
            pins,
        })
    }

    /// Keeps the sandbox for another task of the job, unless the attempt has left `files`: what is to be sent stays where
    /// it is.
    pub(super) async fn leave(&self, sandbox: Sandbox, files: bool) {
        if files {
            let supervisors = &self.machine.supervisors;
            return supervisors.take_back_alone(sandbox.supervisor);
        }
        let (machine, attempt) = (Arc::clone(&self.machine), self.attempt);
        let folder = machine.folder.attempt(attempt);
        let kept =
            tokio::task::spawn_blocking(move || machine.rooms.keep(attempt, &folder, sandbox));
        if let Err(error) = kept.await.unwrap_or_else(|error| Err(error.into())) {
            tracing::debug!(%attempt, %error, "a sandbox is not kept for another task");
        }
    }
}
