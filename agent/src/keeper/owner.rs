//! What the owner asks for: a look, a pause, the end.

use std::sync::Arc;

use common::{
    machine::{Pause, PausedBy},
    status::EndReason,
};

use super::{Keeper, blocking};
use crate::{
    clock,
    control::{Asked, ControlAnswer, ControlRequest, StopHow},
    journal::JournalError,
};

impl Keeper {
    pub(super) async fn set_pause(&mut self, pause: Option<Pause>) -> Result<(), JournalError> {
        let journal = Arc::clone(&self.journal);
        let written = pause.clone();
        blocking(move || journal.pause(written.as_ref())).await?;
        self.pause = pause;
        Ok(())
    }

    pub(super) async fn on_asked(&mut self, asked: Asked) -> Result<(), JournalError> {
        let Asked { request, reply } = asked;
        let answer = match request {
            ControlRequest::Status => ControlAnswer::Status(Box::new(self.status())),
            ControlRequest::Pause { span, .. } => {
                let until = span.map(|span| clock::now().saturating_add(span.as_duration()));
                self.set_pause(Some(Pause {
                    until,
                    reason: String::new(),
                    by: PausedBy::Command,
                }))
                .await?;
                ControlAnswer::Paused(self.pause.clone())
            }
            ControlRequest::Resume => {
                self.set_pause(None).await?;
                ControlAnswer::Paused(None)
            }
            ControlRequest::Stop { how: StopHow::Now } if self.anything_runs() => {
                self.stop_all(EndReason::MachineOwner);
                self.ending = Some(reply);
                return Ok(());
            }
            ControlRequest::Stop { .. } => {
                self.ending = Some(reply);
                self.end();
                return Ok(());
            }
        };
        // Whoever asked may have gone away.
        drop(reply.send(answer));
        Ok(())
    }

    pub(super) fn anything_runs(&self) -> bool {
        self.held.values().any(|held| held.seen().may_run())
    }

    /// Ends the agent once everything that was to end has ended and said so.
    pub(super) fn end_if_over(&mut self) {
        let said = self.outbox.is_none()
            || self
                .held
                .values()
                .all(|held| held.attempt.unacknowledged().is_empty());
        if self.ending.is_some() && !self.anything_runs() && said {
            self.end();
        }
    }

    pub(super) fn end(&mut self) {
        let running = self
            .held
            .values()
            .filter(|held| held.seen().may_run())
            .count();
        if let Some(reply) = self.ending.take() {
            let jobs_left = u32::try_from(running).unwrap_or(u32::MAX);
            drop(reply.send(ControlAnswer::Stopping { jobs_left }));
        }
        self.stopping.cancel();
    }
}
