//! What an attempt's cgroup counts: at the end, and while it runs.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::Path,
    time::Duration,
};

use common::units::Bytes;

use super::{
    AttemptCgroup, Processor, Trees,
    files::{keyed, number, write},
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

/// The most memory that was used since it was forgotten, which the new form tells each open file by itself.
#[derive(Debug)]
pub(in crate::sandbox) struct Peak(Option<File>);

/// Longest number that the kernel writes there.
const MAX_NUMBER_BYTES: usize = 32;

impl Peak {
    fn read(&self) -> Option<Bytes> {
        let mut text = [0; MAX_NUMBER_BYTES];
        let length = self.0.as_ref()?.read_at(&mut text, 0).ok()?;
        let text = std::str::from_utf8(text.get(..length)?).ok()?;
        text.trim().parse().ok().map(Bytes)
    }
}

impl AttemptCgroup {
    /// Forgets the most memory that was used until now.
    ///
    /// # Errors
    /// The kernel cannot: of those with the new form only 6.12 and later can.
    pub(in crate::sandbox) fn forget_peak(&self) -> io::Result<Peak> {
        match &self.trees {
            Trees::None => Ok(Peak(None)),
            Trees::V2(folder) => {
                let path = folder.join("memory.peak");
                let file = fs::OpenOptions::new().read(true).write(true).open(&path)?;
                file.write_at(b"0", 0)?;
                Ok(Peak(Some(file)))
            }
            Trees::V1 { memory, .. } => {
                write(memory, "memory.max_usage_in_bytes", "0")?;
                Ok(Peak(None))
            }
        }
    }

    /// Returns what was consumed since these counters were read and the peak forgotten.
    pub(in crate::sandbox) fn counted_since(&self, before: Counted, peak: &Peak) -> Counted {
        let now = self.counted();
        Counted {
            cpu: now
                .cpu
                .map(|cpu| cpu.saturating_sub(before.cpu.unwrap_or_default())),
            peak_memory: peak.read().or(now.peak_memory),
            memory_kills: now.memory_kills.saturating_sub(before.memory_kills),
        }
    }

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
