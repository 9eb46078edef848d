//! The arithmetic of capacity: what a machine lends, what a task asks for, what an attempt holds.
//!
//! capacity (what exists) ⊇ offer (what the owner lends now) ⊇ sum of allocations (what attempts hold).

use serde::{Deserialize, Serialize};

use crate::units::{Bytes, MilliCpu};

/// Most GPUs that one machine can report; an agent claiming more is refused.
pub const MAX_GPUS_PER_MACHINE: usize = 64;

/// One GPU as the machine's driver names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gpu {
    /// The driver's own identifier (`GPU-…`), stable across restarts.
    pub uuid: String,
    /// Short model name in lower case without the vendor, as people ask for it: `rtx-4090`, `h200`.
    pub model: String,
    pub memory: Bytes,
    pub driver: String,
    pub health: GpuHealth,
    pub temperature_celsius: Option<u32>,
    /// Busy part of the last sample, in percent.
    pub utilization_percent: Option<u32>,
    pub memory_used: Bytes,
}

/// Whether a GPU can be lent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GpuHealth {
    Usable,
    /// A process that is not a job of ours uses it.
    UsedByOthers,
    /// The driver reports a fault, in its words.
    Faulty(String),
    /// The machine's owner does not lend it.
    Withheld,
}

/// Amounts that exist or are lent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    pub cpu: MilliCpu,
    pub memory: Bytes,
    pub disk: Bytes,
    pub gpus: Vec<Gpu>,
}

/// What one task asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Request {
    pub cpu: MilliCpu,
    pub memory: Bytes,
    pub disk: Bytes,
    pub gpu: Option<GpuRequest>,
}

/// A number of whole GPUs, perhaps of one model or of a least memory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GpuRequest {
    pub count: u32,
    pub model: Option<String>,
    pub memory: Option<Bytes>,
}

impl Default for Request {
    /// Returns what a job gets that asks for nothing: one processor, 1 GiB of memory, 1 GiB of disk.
    fn default() -> Self {
        Self {
            cpu: MilliCpu::cpus(1),
            memory: Bytes::gib(1),
            disk: Bytes::gib(1),
            gpu: None,
        }
    }
}

impl GpuRequest {
    /// Returns whether this GPU is of the kind asked for, whoever uses it now.
    pub fn accepts(&self, gpu: &Gpu) -> bool {
        self.model.as_ref().is_none_or(|model| *model == gpu.model)
            && self.memory.is_none_or(|memory| memory <= gpu.memory)
    }
}

/// What one attempt holds on its machine, from placement until its end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    pub cpu: MilliCpu,
    pub memory: Bytes,
    pub disk: Bytes,
    /// Identifiers of whole GPUs.
    pub gpus: Vec<String>,
}

/// One amount that falls short on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shortage {
    Cpu,
    Memory,
    Disk,
    Gpu,
}

impl Capacity {
    /// Returns what is left when `held` is taken away, nothing below zero: an owner may lend less than
    /// jobs already hold, and those jobs keep what they have.
    pub fn minus(&self, held: &Allocation) -> Self {
        Self {
            cpu: MilliCpu(self.cpu.0.saturating_sub(held.cpu.0)),
            memory: Bytes(self.memory.0.saturating_sub(held.memory.0)),
            disk: Bytes(self.disk.0.saturating_sub(held.disk.0)),
            gpus: self
                .gpus
                .iter()
                .filter(|gpu| !held.gpus.contains(&gpu.uuid))
                .cloned()
                .collect(),
        }
    }

    /// Returns the allocation that satisfies `request`, taking the smallest GPUs that do.
    ///
    /// # Errors
    /// Every amount that falls short.
    pub fn allocate(&self, request: &Request) -> Result<Allocation, Vec<Shortage>> {
        let mut short = Vec::new();
        if self.cpu < request.cpu {
            short.push(Shortage::Cpu);
        }
        if self.memory < request.memory {
            short.push(Shortage::Memory);
        }
        if self.disk < request.disk {
            short.push(Shortage::Disk);
        }
        let mut gpus = Vec::new();
        if let Some(wanted) = request.gpu.as_ref().filter(|wanted| wanted.count > 0) {
            let mut fitting: Vec<&Gpu> = self
                .gpus
                .iter()
                .filter(|gpu| gpu.health == GpuHealth::Usable && wanted.accepts(gpu))
                .collect();
            fitting.sort_by(|a, b| (a.memory, &a.uuid).cmp(&(b.memory, &b.uuid)));
            let count = usize::try_from(wanted.count).unwrap_or(usize::MAX);
            if fitting.len() < count {
                short.push(Shortage::Gpu);
            } else {
                gpus = fitting[..count]
                    .iter()
                    .map(|gpu| gpu.uuid.clone())
                    .collect();
            }
        }
        if !short.is_empty() {
            return Err(short);
        }
        Ok(Allocation {
            cpu: request.cpu,
            memory: request.memory,
            disk: request.disk,
            gpus,
        })
    }

    /// Returns whether any number of these GPUs, free or not, healthy or not, could ever satisfy `request`.
    pub fn could_ever_fit(&self, request: &Request) -> Result<(), Vec<Shortage>> {
        let mut idle = self.clone();
        for gpu in &mut idle.gpus {
            if gpu.health != GpuHealth::Withheld {
                gpu.health = GpuHealth::Usable;
            }
        }
        idle.allocate(request).map(|_| ())
    }
}

impl Allocation {
    /// Returns the sum, or `None` where it would overflow or name a GPU twice.
    pub fn checked_add(&self, other: &Self) -> Option<Self> {
        if other.gpus.iter().any(|gpu| self.gpus.contains(gpu)) {
            return None;
        }
        Some(Self {
            cpu: MilliCpu(self.cpu.0.checked_add(other.cpu.0)?),
            memory: Bytes(self.memory.0.checked_add(other.memory.0)?),
            disk: Bytes(self.disk.0.checked_add(other.disk.0)?),
            gpus: self.gpus.iter().chain(&other.gpus).cloned().collect(),
        })
    }

    /// Returns the difference, or `None` where `other` is not part of this.
    pub fn checked_sub(&self, other: &Self) -> Option<Self> {
        if other.gpus.iter().any(|gpu| !self.gpus.contains(gpu)) {
            return None;
        }
        Some(Self {
            cpu: MilliCpu(self.cpu.0.checked_sub(other.cpu.0)?),
            memory: Bytes(self.memory.0.checked_sub(other.memory.0)?),
            disk: Bytes(self.disk.0.checked_sub(other.disk.0)?),
            gpus: self
                .gpus
                .iter()
                .filter(|gpu| !other.gpus.contains(gpu))
                .cloned()
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gpu(uuid: &str, model: &str, gib: u64) -> Gpu {
        Gpu {
            uuid: uuid.to_owned(),
            model: model.to_owned(),
            memory: Bytes::gib(gib),
            driver: "550".to_owned(),
            health: GpuHealth::Usable,
            temperature_celsius: None,
            utilization_percent: None,
            memory_used: Bytes::ZERO,
        }
    }

    #[test]
    fn the_smallest_gpu_that_will_do_is_taken() {
        let capacity = Capacity {
            cpu: MilliCpu::cpus(8),
            memory: Bytes::gib(64),
            disk: Bytes::gib(100),
            gpus: vec![gpu("a", "h200", 141), gpu("b", "rtx-4090", 24)],
        };
        let ask = |model: Option<&str>, count, memory| Request {
            gpu: Some(GpuRequest {
                count,
                model: model.map(str::to_owned),
                memory,
            }),
            ..Request::default()
        };
        assert_eq!(capacity.allocate(&ask(None, 1, None)).unwrap().gpus, ["b"]);
        assert_eq!(
            capacity.allocate(&ask(Some("h200"), 1, None)).unwrap().gpus,
            ["a"]
        );
        assert_eq!(
            capacity
                .allocate(&ask(None, 1, Some(Bytes::gib(80))))
                .unwrap()
                .gpus,
            ["a"]
        );
        assert_eq!(
            capacity.allocate(&ask(None, 3, None)),
            Err(vec![Shortage::Gpu])
        );
    }

    #[test]
    fn a_gpu_in_use_by_others_is_not_lent_but_could_be_one_day() {
        let mut capacity = Capacity {
            gpus: vec![gpu("a", "h200", 141)],
            ..Capacity::default()
        };
        capacity.gpus[0].health = GpuHealth::UsedByOthers;
        let request = Request {
            cpu: MilliCpu::ZERO,
            memory: Bytes::ZERO,
            disk: Bytes::ZERO,
            gpu: Some(GpuRequest {
                count: 1,
                model: None,
                memory: None,
            }),
        };
        assert_eq!(capacity.allocate(&request), Err(vec![Shortage::Gpu]));
        assert_eq!(capacity.could_ever_fit(&request), Ok(()));
    }

    proptest! {
        #[test]
        fn adding_then_taking_away_changes_nothing(a: (u32, u64, u64), b: (u32, u64, u64)) {
            let make = |(cpu, memory, disk): (u32, u64, u64), gpu: &str| Allocation {
                cpu: MilliCpu(cpu), memory: Bytes(memory), disk: Bytes(disk), gpus: vec![gpu.to_owned()],
            };
            let (a, b) = (make(a, "a"), make(b, "b"));
            if let Some(sum) = a.checked_add(&b) {
                prop_assert_eq!(sum.checked_sub(&b), Some(a.clone()));
                prop_assert!(sum.checked_add(&a).is_none());
            }
        }
    }
}
