//! What goes with a member who leaves or is removed, and what stays.

use serde::{Deserialize, Serialize};

use crate::{job::JobNumber, name::Name, status::Role, units::Bytes};

/// Most jobs and most machines that are named; the counts are always exact.
pub const MAX_NAMED: usize = 1000;

/// Exactly what would happen at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeparturePreview {
    pub handle: Name,
    pub role: Role,
    /// Jobs that end: what waits never starts, what runs is told to stop. Oldest first.
    pub jobs: Vec<EndingJob>,
    pub job_count: u32,
    pub running_tasks: u32,
    pub queued_tasks: u32,
    /// Machines that leave the pool.
    pub machines: Vec<Name>,
    pub machine_count: u32,
    /// Tasks of other members that run on these; they go on elsewhere where they may.
    pub interrupted_tasks: u32,
    /// Invitations and sign-in links that let nobody in any more.
    pub invitations: u32,
    /// Access to projects, and use of secrets, by name.
    pub grants: u32,
    /// API tokens for this org.
    pub tokens: u32,
    /// Of the member's own that are signed out.
    pub devices: u32,
    pub stays: Stays,
}

impl DeparturePreview {
    /// Returns that of a member of whom nothing is there.
    pub fn of(handle: Name, role: Role) -> Self {
        Self {
            handle,
            role,
            jobs: Vec::new(),
            job_count: 0,
            running_tasks: 0,
            queued_tasks: 0,
            machines: Vec::new(),
            machine_count: 0,
            interrupted_tasks: 0,
            invitations: 0,
            grants: 0,
            tokens: 0,
            devices: 0,
            stays: Stays::default(),
        }
    }
}

/// A job that ends with its owner's membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndingJob {
    pub number: JobNumber,
    pub running: u32,
    pub queued: u32,
}

/// What passes to the org.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stays {
    pub ended_jobs: u64,
    pub artifact_bytes: Bytes,
    pub datasets: u32,
    pub dataset_bytes: Bytes,
}
