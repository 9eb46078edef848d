//! What goes with an org.

use serde::{Deserialize, Serialize};

use crate::{name::Name, units::Bytes};

/// Exactly what would go at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionPreview {
    pub name: Name,
    pub members: u32,
    /// Those that were rejected or removed, too.
    pub machines: u32,
    /// Those that have ended, too.
    pub jobs: u32,
    pub running_tasks: u64,
    pub queued_tasks: u64,
    pub datasets: u32,
    pub projects: u32,
    pub secrets: u32,
    /// Contents on the coordinator's disk; what another org has as well stays there.
    pub trees: u32,
    /// Of datasets and artifacts.
    pub bytes: Bytes,
}
