//! Machines: what an agent reports of one, and what people see.

use serde::{Deserialize, Serialize};

use crate::{
    id::{MachineId, TreeId},
    name::Name,
    resources::{Allocation, Capacity, MAX_GPUS_PER_MACHINE},
    status::{IsolationLevel, MachineStatus},
    time::{Span, Timestamp},
    units::Bytes,
};

/// Most trees that a machine names as cached.
pub const MAX_CACHED_TREES: usize = 4096;
/// Longest free text in a report, in bytes.
pub const MAX_REPORT_TEXT_BYTES: usize = 512;

/// Everything an agent says about its machine that the schedule depends on. Sent whole when it changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineReport {
    /// What exists.
    pub capacity: Capacity,
    /// What the owner lends now, running jobs included.
    pub offer: Capacity,
    /// Set while the owner lends nothing new.
    pub paused: Option<Pause>,
    pub isolation: Isolation,
    pub system: SystemInfo,
    /// Trees in the cache, so that placement can prefer them.
    pub cached: Vec<TreeId>,
}

/// The owner lends nothing for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// `None` is until the owner resumes.
    pub until: Option<Timestamp>,
}

/// How well the machine can hold jobs in, as the agent found out by trying.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolation {
    pub level: IsolationLevel,
    /// What it cannot enforce, one line each.
    pub missing: Vec<String>,
    /// The command that would lift it a level.
    pub remedy: Option<String>,
}

/// What runs on the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemInfo {
    pub os: String,
    pub kernel: String,
    /// `x86_64`, `aarch64`.
    pub architecture: String,
    pub agent_version: String,
}

/// A sample of how busy the machine is, sent with heartbeats and never stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineLoad {
    pub cpu_percent: u32,
    pub memory_used: Bytes,
}

/// A machine as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineView {
    pub id: MachineId,
    pub name: Name,
    /// Handle of the member whose computer it is.
    pub owner: Name,
    pub status: MachineStatus,
    /// Why it is in that status, where there is more to say (the reason of a rejection, the end of a pause).
    pub status_detail: Option<String>,
    pub registered_at: Timestamp,
    pub last_heartbeat: Option<Timestamp>,
    pub running: u32,
    /// Attempts that ended on it, ever.
    pub executed: u64,
    /// Sum of the wall time of those attempts.
    pub lent: Span,
    /// What it reported last; `None` before the first contact.
    pub report: Option<MachineReport>,
    pub allocated: Allocation,
    pub load: Option<MachineLoad>,
}

/// Why a report is refused at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReport {
    #[error("it names more than {MAX_GPUS_PER_MACHINE} GPUs")]
    TooManyGpus,
    #[error("it names more than {MAX_CACHED_TREES} cached trees")]
    TooManyTrees,
    #[error("a text in it is longer than {MAX_REPORT_TEXT_BYTES} bytes or not plain")]
    Text,
    #[error("it lends more than exists")]
    OfferBeyondCapacity,
    #[error("it claims more than any machine has")]
    Absurd,
}

impl MachineReport {
    /// Returns whether the report can be believed as far as its shape goes.
    ///
    /// # Errors
    /// The first thing that cannot be.
    pub fn check(&self) -> Result<(), InvalidReport> {
        /// A thousand times the largest machines of today.
        const MOST_MEMORY: Bytes = Bytes(1 << 56);
        const MOST_MILLI_CPU: u32 = 1_000_000_000;
        let gpu_texts = self
            .capacity
            .gpus
            .iter()
            .chain(&self.offer.gpus)
            .flat_map(|gpu| [gpu.uuid.as_str(), gpu.model.as_str(), gpu.driver.as_str()]);
        let system = &self.system;
        let texts = [
            &system.os,
            &system.kernel,
            &system.architecture,
            &system.agent_version,
        ]
        .into_iter()
        .chain(&self.isolation.missing)
        .chain(&self.isolation.remedy)
        .map(String::as_str);
        let plain =
            |text: &str| text.len() <= MAX_REPORT_TEXT_BYTES && !text.chars().any(char::is_control);
        if self.capacity.gpus.len().max(self.offer.gpus.len()) > MAX_GPUS_PER_MACHINE {
            Err(InvalidReport::TooManyGpus)
        } else if self.cached.len() > MAX_CACHED_TREES {
            Err(InvalidReport::TooManyTrees)
        } else if self.isolation.missing.len() > 32 || !gpu_texts.chain(texts).all(plain) {
            Err(InvalidReport::Text)
        } else if self.capacity.cpu.0 > MOST_MILLI_CPU
            || self.capacity.memory > MOST_MEMORY
            || self.capacity.disk > MOST_MEMORY
        {
            Err(InvalidReport::Absurd)
        } else if self.offer.cpu > self.capacity.cpu
            || self.offer.memory > self.capacity.memory
            || self.offer.disk > self.capacity.disk
        {
            Err(InvalidReport::OfferBeyondCapacity)
        } else {
            Ok(())
        }
    }
}
