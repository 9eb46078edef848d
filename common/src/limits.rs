//! The org's limits: bounds at one moment.

use serde::{Deserialize, Serialize};

use crate::{status::MinIsolation, time::Span, units::Bytes};

/// Bounds that an org's admins set. `None` is no bound.
///
/// All bounds that apply must allow a start; lowering one never ends what runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    pub max_machines_per_user: Option<u32>,
    /// Tasks of a member that run at the same moment; every task of an array counts.
    pub max_concurrent_jobs_per_user: Option<u32>,
    /// Tasks of a member that wait.
    pub max_queued_jobs_per_user: Option<u32>,
    /// Longest run of one attempt. A job that asks for nothing gets this.
    pub max_job_runtime: Option<Span>,
    /// Most memory of one task.
    pub max_job_memory: Option<Bytes>,
    /// Least isolation of a machine that runs a job of another member than its owner.
    pub min_isolation: Option<MinIsolation>,
}
