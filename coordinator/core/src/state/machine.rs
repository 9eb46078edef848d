//! Machines as rows.

use common::{
    id::{Fingerprint, OrgId, UserId},
    name::Name,
    time::{Span, Timestamp},
};
use serde::{Deserialize, Serialize};

use crate::lifecycle::machine::MachineState;

/// A member's computer. What it reports of itself is a row of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) org: OrgId,
    pub(crate) name: Name,
    pub(crate) owner: UserId,
    /// Of the key that was made on it.
    pub(crate) key: Fingerprint,
    pub(crate) registered_at: Timestamp,
    pub(crate) state: MachineState,
    /// Of its desired set; grows with every change.
    pub(crate) generation: u64,
    /// When it last connected, reported or left.
    pub(crate) last_seen: Option<Timestamp>,
    /// Attempts that ended on it, ever, and their wall time.
    pub(crate) executed: u64,
    pub(crate) lent: Span,
}
