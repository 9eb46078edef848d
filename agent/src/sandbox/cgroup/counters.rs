//! What an attempt's cgroup counts: at the end, and while it runs.

use std::{path::Path, time::Duration};

use common::units::Bytes;

use super::{
    AttemptCgroup, Processor, Trees,
    files::{keyed, number},
};

/// What an attempt consumed, as far as its cgroup counted.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::sandbox) struct Counted {
    pub(in crate::sandbox) cpu: Option<Duration>,
    pub(in crate::sandbox) peak_memory: Option<Bytes>,
    /// How often the kernel killed something in it for want of memory.
    pub(in crate::sandbox) memory_kills: u64,
}

/// What an attempt uses at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// Since its start.
    pub(crate) cpu: Duration,
    pub(crate) memory: Option<Bytes>,
    pub(crate) processes: Option<u32>,
}

impl AttemptCgroup {
    pub(in crate::sandbox) fn counted(&self) -> Counted {
        match &self.trees {
            Trees::None => Counted::default(),
            Trees::V2(folder) => Counted {
                cpu: v2_cpu(folder),
                peak_memory: number(folder, "memory.peak").map(Bytes),
                memory_kills: keyed(folder, "memory.events", "oom_kill").unwrap_or(0),
            },
            Trees::V1 {
                memory, processor, ..
            } => Counted {
                cpu: processor.cpu(),
                peak_memory: number(memory, "memory.max_usage_in_bytes").map(Bytes),
                memory_kills: keyed(memory, "memory.oom_control", "oom_kill").unwrap_or(0),
            },
        }
    }

    /// Returns what is used now; `None` where there is no cgroup to ask.
    pub(in crate::sandbox) fn used(&self) -> Option<Used> {
        let (cpu, memory, cache, pids) = match &self.trees {
            Trees::None => return None,
            Trees::V2(folder) => (
                v2_cpu(folder),
                number(folder, "memory.current"),
                keyed(folder, "memory.stat", "inactive_file"),
                folder,
            ),
            Trees::V1 {
                memory,
                processor,
                pids,
                ..
            } => (
                processor.cpu(),
                number(memory, "memory.usage_in_bytes"),
                keyed(memory, "memory.stat", "total_inactive_file"),
                pids,
            ),
        };
        // Files that nobody has looked at lately go as soon as the memory is needed: nobody's use.
        let memory = memory.map(|all| Bytes(all.saturating_sub(cache.unwrap_or(0))));
        // The sandbox's first process is none of the job's.
        let processes = number(pids, "pids.current").map(|all| all.saturating_sub(1));
        Some(Used {
            cpu: cpu.unwrap_or_default(),
            memory,
            processes: processes.and_then(|count| u32::try_from(count).ok()),
        })
    }
}

impl Processor {
    fn cpu(&self) -> Option<Duration> {
        match self {
            Self::Unified(folder) => v2_cpu(folder),
            Self::Cpuacct(folder) => number(folder, "cpuacct.usage").map(Duration::from_nanos),
        }
    }
}

fn v2_cpu(folder: &Path) -> Option<Duration> {
    keyed(folder, "cpu.stat", "usage_usec").map(Duration::from_micros)
}
