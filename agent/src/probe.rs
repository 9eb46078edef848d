//! What this machine has and how busy it is. Looked at when the agent starts and with every heartbeat,
//! never in between; nothing is decided here.

mod owner_file;
pub(crate) mod surroundings;

use std::path::PathBuf;

use agent_core::{
    offer::{cache_limit, offer, withhold},
    owner::OwnerRules,
};
use common::{
    machine::{MAX_REPORT_TEXT_BYTES, MachineLoad, SystemInfo},
    problem::Problem,
    resources::{Allocation, Capacity},
    units::{Bytes, MilliCpu},
};

pub(crate) use self::owner_file::{OwnerFile, Ruled};
use crate::{gpu::Gpus, registration::AgentFolder};

/// The disk that is lent is told in steps of this, so that it is not news with every file.
const DISK_STEP: u64 = 256 << 20;

/// One look at the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) capacity: Capacity,
    pub(crate) offer: Capacity,
    /// How much the cache may take besides what is offered.
    pub(crate) cache_limit: Bytes,
    pub(crate) load: MachineLoad,
}

/// Looks at the machine.
#[derive(Debug)]
pub(crate) struct Probe {
    folder: PathBuf,
    system: sysinfo::System,
    gpus: Gpus,
    free_disk: Bytes,
}

impl Probe {
    /// Makes a probe for the agent in `folder`.
    ///
    /// # Errors
    /// The system does not tell what it has.
    pub(crate) fn new(folder: &AgentFolder) -> Result<Self, Problem> {
        let system = sysinfo::System::new().map_err(|error| {
            Problem::new(
                common::code::Code::Io,
                "this machine cannot be looked at",
                error.to_string(),
            )
        })?;
        Ok(Self {
            folder: folder.path().to_owned(),
            system,
            gpus: Gpus::open(folder.attempts()),
            free_disk: Bytes::ZERO,
        })
    }

    /// Looks at everything. `held` is what attempts hold, `cached` what the cache takes of the disk.
    pub(crate) fn sample(
        &mut self,
        held: &Allocation,
        cached: Bytes,
        rules: &OwnerRules,
    ) -> Sample {
        self.system.refresh_memory();
        self.system.refresh_cpu_usage();
        let (disk, available) = self.disk();
        let available = Bytes(available.0.saturating_add(cached.0));
        if held.disk == Bytes::ZERO || available < self.free_disk {
            self.free_disk = steady(self.free_disk, available);
        }
        let capacity = Capacity {
            cpu: MilliCpu::cpus(processors()),
            memory: self.memory(),
            disk,
            gpus: self.gpus.sample(),
        };
        let capacity = withhold(capacity, rules);
        Sample {
            offer: offer(&capacity, self.free_disk, rules),
            cache_limit: cache_limit(&capacity, self.free_disk, rules),
            load: MachineLoad {
                cpu_percent: percent(self.system.global_cpu_usage()),
                memory_used: Bytes(self.system.used_memory()),
                ..MachineLoad::default()
            },
            capacity,
        }
    }

    /// Returns the machine's GPUs, to be asked between two looks.
    pub(crate) fn gpus(&self) -> &Gpus {
        &self.gpus
    }

    fn memory(&self) -> Bytes {
        let total = self.system.total_memory();
        let bound = self
            .system
            .cgroup_limits()
            .map(|limits| limits.total_memory);
        Bytes(
            bound
                .filter(|bound| *bound > 0)
                .map_or(total, |bound| bound.min(total)),
        )
    }

    /// Returns the size of the disk under the agent's folder and what an ordinary user may still fill of it;
    /// nothing where that cannot be told.
    fn disk(&self) -> (Bytes, Bytes) {
        rustix::fs::statvfs(&self.folder).map_or((Bytes::ZERO, Bytes::ZERO), |stat| {
            let size = |blocks: u64| Bytes(blocks.saturating_mul(stat.f_frsize));
            (size(stat.f_blocks), size(stat.f_bavail))
        })
    }
}

/// Returns what runs on this machine.
pub(crate) fn system_info() -> SystemInfo {
    let plain = |text: Option<String>| -> String {
        let text = text.unwrap_or_else(|| "unknown".to_owned());
        let mut plain: String = text.chars().filter(|c| !c.is_control()).collect();
        while plain.len() > MAX_REPORT_TEXT_BYTES {
            plain.pop();
        }
        plain
    };
    SystemInfo {
        os: plain(sysinfo::System::long_os_version().ok()),
        kernel: plain(sysinfo::System::kernel_version().ok()),
        architecture: std::env::consts::ARCH.to_owned(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn processors() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1))
}

fn percent(usage: f32) -> u32 {
    // Bounded first, so the cast loses only the fraction; a NaN becomes zero.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded"
    )]
    let percent = usage.clamp(0.0, 100.0).round() as u32;
    percent
}

/// Returns `now` in whole steps, or what was said before where it hardly differs.
fn steady(before: Bytes, now: Bytes) -> Bytes {
    let stepped = Bytes(now.0 / DISK_STEP * DISK_STEP);
    let slack = (before.0 / 8).max(DISK_STEP);
    if before > now || stepped.0.abs_diff(before.0) > slack {
        stepped
    } else {
        before
    }
}

#[cfg(test)]
mod tests;
