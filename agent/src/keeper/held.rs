//! What the keeper has of one attempt.

use std::sync::Arc;

use agent_core::{
    attempt::{Attempt, Step},
    observed::Seen,
};
use common::{
    status::EndReason,
    time::Timestamp,
    wire::agent::{AttemptSpec, ReportStage},
};

use tokio::sync::watch;

use crate::attempts::Performing;

/// What there is of one attempt.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) spec: Arc<AttemptSpec>,
    pub(super) attempt: Attempt,
    /// The last stage that was said over the present connection.
    pub(super) said: Option<ReportStage>,
    pub(super) performing: Option<Performing>,
    pub(super) stopping: Option<EndReason>,
    pub(super) journaled: bool,
    /// Whether its line in the journal is on the disk.
    pub(super) written: watch::Receiver<bool>,
    /// It was told to have another one's place after that, and begins only by the coordinator's present word.
    pub(super) follows: bool,
    pub(super) frost: Frost,
    /// Why the machine's owner had it ended, in words.
    pub(super) evicted: Option<String>,
}

/// Whether an attempt is held still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frost {
    /// An earlier daemon may have frozen it.
    Unknown,
    Thawed,
    Frozen {
        since: Timestamp,
    },
}

impl Held {
    pub(super) fn new(spec: Arc<AttemptSpec>, attempt: Attempt, journaled: bool) -> Self {
        let (_, written) = watch::channel(true);
        Self {
            written,
            spec,
            attempt,
            said: None,
            performing: None,
            stopping: None,
            journaled,
            follows: false,
            frost: Frost::Thawed,
            evicted: None,
        }
    }

    pub(super) fn seen(&self) -> Seen {
        if self.attempt.has_ended() {
            Seen::Ended
        } else if self.stopping.is_some() {
            Seen::Stopping
        } else if self.performing.is_some() {
            Seen::Live
        } else {
            Seen::Idle
        }
    }

    /// Returns whether it holds what was allocated for it, or will without waiting for another.
    pub(super) fn has_place(&self) -> bool {
        let waits = self.follows && self.seen() == Seen::Idle;
        !waits && !self.attempt.has_ended()
    }

    /// Returns the step with the owner's reason in it, where it is the end that the owner wanted.
    pub(super) fn with_owners_words(&self, step: Step) -> Step {
        match (step, &self.evicted) {
            (
                Step::End {
                    at,
                    mut outcome,
                    files,
                },
                Some(words),
            ) if outcome.reason == EndReason::MachineOwner => {
                outcome.detail = Some(words.clone());
                Step::End { at, outcome, files }
            }
            (step, _) => step,
        }
    }

    /// Returns whether it may run and was not yet told that the lease is over.
    pub(super) fn outlasts_lease(&self) -> bool {
        self.seen().may_run() && self.stopping != Some(EndReason::MachineLost)
    }
}
