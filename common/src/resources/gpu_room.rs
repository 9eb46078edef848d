//! What bounds leave of GPUs of some models, and of machines that are held whole.

use std::collections::BTreeMap;

use super::{Allocation, Shortage};
use crate::units::{Bytes, MilliCpu};

/// How many more GPUs of some models may be held; of the models not named, as many as there are. And how much of
/// everything by whoever holds a machine whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GpuRoom {
    models: BTreeMap<String, u64>,
    whole: BTreeMap<Shortage, u64>,
}

impl GpuRoom {
    /// Returns room for all there are.
    pub const fn unlimited() -> Self {
        Self {
            models: BTreeMap::new(),
            whole: BTreeMap::new(),
        }
    }

    /// Returns whether it leaves every model alone.
    pub fn is_unlimited(&self) -> bool {
        self.models.is_empty()
    }

    /// Takes what is held from then on, with the models of its GPUs.
    pub fn take(&mut self, allocation: &Allocation, models: &[String]) {
        for model in models {
            if let Some(room) = self.models.get_mut(model) {
                *room = room.saturating_sub(1);
            }
        }
        let held = [
            (Shortage::Cpu, u64::from(allocation.cpu.0)),
            (Shortage::Memory, allocation.memory.0),
        ];
        for (what, much) in held {
            if let Some(room) = self.whole.get_mut(&what) {
                *room = room.saturating_sub(much);
            }
        }
    }

    /// Lets whoever holds a machine whole have no more of something, in thousandths of processors or bytes.
    pub fn narrow_whole(&mut self, what: Shortage, most: u64) {
        let room = self.whole.entry(what).or_insert(most);
        *room = most.min(*room);
    }

    /// Returns whether so much of a machine that is held whole is within it.
    pub(super) fn holds_whole(&self, cpu: MilliCpu, memory: Bytes) -> bool {
        let within = |what, much: u64| self.whole.get(&what).is_none_or(|most| much <= *most);
        within(Shortage::Cpu, cpu.0.into()) && within(Shortage::Memory, memory.0)
    }

    /// Lets no more than `most` of a model in, where less is not said already.
    pub fn narrow(&mut self, model: &str, most: u64) {
        match self.models.get_mut(model) {
            Some(room) => *room = most.min(*room),
            None => drop(self.models.insert(model.to_owned(), most)),
        }
    }

    pub fn of(&self, model: &str) -> Option<u64> {
        self.models.get(model).copied()
    }
}
