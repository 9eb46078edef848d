//! What the keeper has of one attempt.

use std::sync::Arc;

use agent_core::{attempt::Attempt, observed::Seen};
use common::{
    status::EndReason,
    wire::agent::{AttemptSpec, ReportStage},
};

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
}

impl Held {
    pub(super) const fn new(spec: Arc<AttemptSpec>, attempt: Attempt, journaled: bool) -> Self {
        Self {
            spec,
            attempt,
            said: None,
            performing: None,
            stopping: None,
            journaled,
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

    /// Returns whether it may run and was not yet told that the lease is over.
    pub(super) fn outlasts_lease(&self) -> bool {
        self.seen().may_run() && self.stopping != Some(EndReason::MachineLost)
    }
}
