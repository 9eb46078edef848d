//! Whom a job is on its host.

use common::id::AttemptId;
use serde::{Deserialize, Serialize};

use super::PlanInput;

/// First user id on the host that jobs of a root agent get, and how many there are: the part of the id
/// space that the distributions' conventions leave to nobody: above what systemd gives containers, below the
/// range for foreign images that ends it.
pub const FIRST_HOST_UID: u32 = 0x7000_0000;
pub(super) const HOST_UIDS: u32 = 0x7ffe_0000 - FIRST_HOST_UID;

/// Whom the job's files and processes belong to, seen from the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// The user that the agent runs as.
    Agent,
    /// A user and group of the sandbox's own.
    Private { uid: u32 },
}

/// Returns whom the job is on the host.
pub(super) fn identity(input: &PlanInput<'_>) -> Identity {
    match input.host.superuser {
        true => private(input.attempt),
        false => Identity::Agent,
    }
}

/// Returns the identity of an attempt, or of those that follow it in its sandbox. The number comes from the attempt
/// itself (FNV-1a of its key), so that no two sandboxes that meet on a machine are likely to share one, and what an
/// earlier one left behind belongs to somebody else.
pub(super) fn private(attempt: AttemptId) -> Identity {
    let hash = attempt.key().iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    Identity::Private {
        uid: FIRST_HOST_UID + hash % HOST_UIDS,
    }
}
