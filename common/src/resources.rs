//! The arithmetic of capacity: what a machine lends, what a task asks for, what an attempt holds.
//!
//! capacity (what exists) ⊇ offer (what the owner lends now) ⊇ sum of allocations (what attempts hold).

mod gpu_room;

pub use self::gpu_room::GpuRoom;

use std::collections::BTreeMap;

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
    /// Jobs hold shares of its memory; [`Gpu::memory`] is what is left of it. Only ever a result of
    /// [`Capacity::minus`], never reported.
    Shared,
    /// Memory on it is still taken by what an ended job left behind.
    Leftover,
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
    /// Whether it is to have a machine to itself, with at least that; it holds all of its processors and memory.
    #[serde(default)]
    pub exclusive: bool,
}

/// A number of whole GPUs, perhaps of one model or of so much memory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GpuRequest {
    pub count: u32,
    pub model: Option<String>,
    pub memory: Option<Bytes>,
    /// Whether `memory` of one GPU is enough, with other jobs on the rest of it. Nothing but a watch keeps
    /// them apart there.
    #[serde(default)]
    pub share: bool,
    /// Most memory that each of them has; not of shares.
    #[serde(default)]
    pub memory_most: Option<Bytes>,
}

impl Default for Request {
    /// Returns what a job gets that asks for nothing: one processor, 1 GiB of memory, 1 GiB of disk.
    fn default() -> Self {
        Self {
            cpu: MilliCpu::cpus(1),
            memory: Bytes::gib(1),
            disk: Bytes::gib(1),
            gpu: None,
            exclusive: false,
        }
    }
}

impl GpuRequest {
    /// Returns the memory of each GPU that is asked for where the rest may be others'.
    pub fn shared_memory(&self) -> Option<Bytes> {
        self.memory.filter(|_| self.share)
    }

    /// Returns whether this GPU is of the kind asked for, whoever uses it now.
    pub fn accepts(&self, gpu: &Gpu) -> bool {
        self.accepts_kind(&gpu.model, gpu.memory)
    }

    /// Returns whether GPUs of this model, with so much memory, are of the kind asked for.
    pub fn accepts_kind(&self, model: &str, memory: Bytes) -> bool {
        self.model.as_ref().is_none_or(|wanted| *wanted == model)
            && self.memory.is_none_or(|least| least <= memory)
            && self.memory_most.is_none_or(|most| memory <= most)
    }

    /// Returns how much memory each is to have, in words: `20 GiB`, `20 GiB to 40 GiB`, `at most 40 GiB`.
    pub fn memory_words(&self) -> Option<String> {
        match (self.memory, self.memory_most) {
            (None, None) => None,
            (Some(least), None) => Some(least.to_string()),
            (Some(least), Some(most)) => Some(format!("{least} to {most}")),
            (None, Some(most)) => Some(format!("at most {most}")),
        }
    }
}

/// What one attempt holds on its machine, from placement until its end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    pub cpu: MilliCpu,
    pub memory: Bytes,
    pub disk: Bytes,
    /// Identifiers of GPUs.
    pub gpus: Vec<String>,
    /// How much memory of each of them is held; one that is not named here is held whole.
    #[serde(default)]
    pub gpu_shares: BTreeMap<String, Bytes>,
}

/// One amount that falls short on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shortage {
    Cpu,
    Memory,
    Disk,
    Gpu,
    /// Bounds let nobody hold all of it.
    Whole,
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
                .filter_map(|gpu| held.left_of(gpu))
                .collect(),
        }
    }

    /// Returns the allocation that satisfies `request`, taking the smallest GPUs that do.
    ///
    /// # Errors
    /// Every amount that falls short.
    pub fn allocate(&self, request: &Request) -> Result<Allocation, Vec<Shortage>> {
        self.allocate_within(request, &GpuRoom::unlimited())
    }

    /// Returns the allocation that satisfies `request` with no more GPUs of each model than there is room for.
    ///
    /// # Errors
    /// Every amount that falls short.
    pub fn allocate_within(
        &self,
        request: &Request,
        room: &GpuRoom,
    ) -> Result<Allocation, Vec<Shortage>> {
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
        let mut gpu_shares = BTreeMap::new();
        if let Some(wanted) = request.gpu.as_ref().filter(|wanted| wanted.count > 0) {
            let free = |gpu: &&Gpu| match gpu.health {
                GpuHealth::Usable => true,
                GpuHealth::Shared => wanted.shared_memory().is_some(),
                _ => false,
            };
            let mut fitting: Vec<&Gpu> = self
                .gpus
                .iter()
                .filter(|gpu| free(gpu) && wanted.accepts(gpu))
                .collect();
            // Shares go where there are shares already, so that whole GPUs stay whole.
            let order = |gpu: &Gpu| {
                (
                    gpu.health != GpuHealth::Shared,
                    gpu.memory,
                    gpu.uuid.clone(),
                )
            };
            fitting.sort_by_cached_key(|gpu| order(gpu));
            let mut taken: BTreeMap<&str, u64> = BTreeMap::new();
            fitting.retain(|gpu| {
                let taken = taken.entry(&gpu.model).or_default();
                *taken += 1;
                room.of(&gpu.model).is_none_or(|most| *taken <= most)
            });
            let count = usize::try_from(wanted.count).unwrap_or(usize::MAX);
            if fitting.len() < count {
                short.push(Shortage::Gpu);
            } else {
                gpus = fitting[..count]
                    .iter()
                    .map(|gpu| gpu.uuid.clone())
                    .collect();
                if let Some(memory) = wanted.shared_memory() {
                    gpu_shares = gpus.iter().map(|gpu| (gpu.clone(), memory)).collect();
                }
            }
        }
        if !short.is_empty() {
            return Err(short);
        }
        // Who is alone on a machine holds what others cannot have meanwhile.
        let (cpu, memory) = match request.exclusive {
            true => (self.cpu, self.memory),
            false => (request.cpu, request.memory),
        };
        if request.exclusive && !room.holds_whole(cpu, memory) {
            return Err(vec![Shortage::Whole]);
        }
        Ok(Allocation {
            cpu,
            memory,
            disk: request.disk,
            gpus,
            gpu_shares,
        })
    }

    /// Returns whether there is room for `request` beside what is held.
    pub fn fits_beside(&self, held: &Allocation, request: &Request) -> bool {
        let alone = *held == Allocation::default();
        (alone || !request.exclusive) && self.minus(held).allocate(request).is_ok()
    }

    /// Returns whether any number of these GPUs, free or not, healthy or not, could ever satisfy `request`.
    pub fn could_ever_fit(&self, request: &Request) -> Result<(), Vec<Shortage>> {
        self.could_ever_fit_within(request, &GpuRoom::unlimited())
    }

    /// Returns whether they could with no more GPUs of each model than there is room for.
    pub fn could_ever_fit_within(
        &self,
        request: &Request,
        room: &GpuRoom,
    ) -> Result<(), Vec<Shortage>> {
        let mut idle = self.clone();
        for gpu in &mut idle.gpus {
            if gpu.health != GpuHealth::Withheld {
                gpu.health = GpuHealth::Usable;
            }
        }
        idle.allocate_within(request, room).map(|_| ())
    }
}

impl Allocation {
    /// Returns what a GPU has left beside this; `None` where it is held whole.
    fn left_of(&self, gpu: &Gpu) -> Option<Gpu> {
        if !self.gpus.contains(&gpu.uuid) {
            return Some(gpu.clone());
        }
        let share = self.gpu_shares.get(&gpu.uuid)?;
        let mut left = gpu.clone();
        left.memory = Bytes(gpu.memory.0.saturating_sub(share.0));
        if left.health == GpuHealth::Usable {
            left.health = GpuHealth::Shared;
        }
        Some(left)
    }

    /// Returns the sum, its GPUs in order, or `None` where it would overflow or hold a GPU twice that is not shared.
    pub fn checked_add(&self, other: &Self) -> Option<Self> {
        let mut sum = Self {
            gpus: self.gpus.clone(),
            gpu_shares: self.gpu_shares.clone(),
            cpu: MilliCpu(self.cpu.0.checked_add(other.cpu.0)?),
            memory: Bytes(self.memory.0.checked_add(other.memory.0)?),
            disk: Bytes(self.disk.0.checked_add(other.disk.0)?),
        };
        for gpu in &other.gpus {
            let share = other.gpu_shares.get(gpu);
            if self.gpus.contains(gpu) {
                let held = sum.gpu_shares.get_mut(gpu)?;
                held.0 = held.0.checked_add(share?.0)?;
            } else {
                sum.gpus.push(gpu.clone());
                sum.gpu_shares
                    .extend(share.map(|share| (gpu.clone(), *share)));
            }
        }
        // The same whatever came first.
        sum.gpus.sort_unstable();
        Some(sum)
    }

    /// Returns the difference, or `None` where `other` is not part of this.
    pub fn checked_sub(&self, other: &Self) -> Option<Self> {
        let mut left = Self {
            gpus: self.gpus.clone(),
            gpu_shares: self.gpu_shares.clone(),
            cpu: MilliCpu(self.cpu.0.checked_sub(other.cpu.0)?),
            memory: Bytes(self.memory.0.checked_sub(other.memory.0)?),
            disk: Bytes(self.disk.0.checked_sub(other.disk.0)?),
        };
        for gpu in &other.gpus {
            if !self.gpus.contains(gpu) {
                return None;
            }
            let rest = match (self.gpu_shares.get(gpu), other.gpu_shares.get(gpu)) {
                (None, None) => Bytes::ZERO,
                (Some(held), Some(share)) => Bytes(held.0.checked_sub(share.0)?),
                _ => return None,
            };
            if rest == Bytes::ZERO {
                left.gpus.retain(|held| held != gpu);
                left.gpu_shares.remove(gpu);
            } else {
                left.gpu_shares.insert(gpu.clone(), rest);
            }
        }
        Some(left)
    }
}

#[cfg(test)]
mod tests;
