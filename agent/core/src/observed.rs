//! What this machine has of each attempt, as far as reconciling needs to know.

use std::collections::BTreeMap;

use common::id::AttemptId;

/// Everything of every attempt on this machine.
pub type Observed = BTreeMap<AttemptId, Seen>;

/// What there is of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Accepted, and nothing of it runs or is made ready.
    Idle,
    /// It is made ready or runs.
    Live,
    /// It was told to end and has not yet.
    Stopping,
    /// Only its log, its files and the word about its end are left.
    Ended,
}

impl Seen {
    /// Returns whether a process of the attempt may exist.
    pub const fn may_run(self) -> bool {
        matches!(self, Self::Live | Self::Stopping)
    }
}
