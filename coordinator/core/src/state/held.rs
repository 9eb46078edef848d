//! Sums of what is held and kept, as the index counts them: always what a walk over the rows would add up to.

use std::collections::BTreeMap;

use common::{
    id::TreeId,
    limits::{Amount, ResourceType},
    resources::Allocation,
    units::Bytes,
};

use super::guests::Guests;

/// Sums of allocations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) milli_cpu: u64,
    pub(crate) memory: u64,
    /// A share of a GPU counts as one, whatever else is on it: what is bounded is how many tasks compute there.
    pub(crate) gpus: u64,
    /// Of them, by model; those of before models were kept are not among them.
    models: BTreeMap<String, u64>,
}

/// What an org's tasks hold, and what is kept for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OrgUse {
    pub(crate) held: Held,
    pub(crate) guests: Guests,
    pub(crate) datasets: Kept,
    pub(crate) artifacts: Kept,
    /// Work folders and parameters of all jobs, also of those that have ended, by how many have one. They count for no
    /// limit.
    pub(crate) sent: BTreeMap<TreeId, u64>,
}

/// Trees that are kept; one that is kept twice takes its bytes once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    trees: BTreeMap<TreeId, (u64, Bytes)>,
    bytes: u64,
}

impl OrgUse {
    /// Returns whether anything of the org needs the tree.
    pub(crate) fn keeps(&self, tree: TreeId) -> bool {
        self.datasets.holds(tree) || self.artifacts.holds(tree) || self.sent.contains_key(&tree)
    }
}

impl Held {
    pub(crate) const fn nothing() -> Self {
        Self {
            milli_cpu: 0,
            memory: 0,
            gpus: 0,
            models: BTreeMap::new(),
        }
    }

    /// Adds what an attempt holds, with the model of each of its GPUs.
    pub(crate) fn add(&mut self, allocation: &Allocation, models: &[String]) {
        self.milli_cpu += u64::from(allocation.cpu.0);
        self.memory = self.memory.saturating_add(allocation.memory.0);
        self.gpus += allocation.gpus.len() as u64;
        for model in models {
            match self.models.get_mut(model) {
                Some(count) => *count += 1,
                None => drop(self.models.insert(model.clone(), 1)),
            }
        }
    }

    pub(crate) fn take(&mut self, allocation: &Allocation, models: &[String]) {
        self.milli_cpu = self.milli_cpu.saturating_sub(u64::from(allocation.cpu.0));
        self.memory = self.memory.saturating_sub(allocation.memory.0);
        self.gpus = self.gpus.saturating_sub(allocation.gpus.len() as u64);
        for model in models {
            if let Some(count) = self.models.get_mut(model) {
                *count -= 1;
                if *count == 0 {
                    self.models.remove(model);
                }
            }
        }
    }

    pub(crate) fn of(&self, resource: &ResourceType) -> Amount {
        Amount(match resource {
            ResourceType::Cpu => self.milli_cpu,
            ResourceType::Memory => self.memory,
            ResourceType::Gpu => self.gpus,
            ResourceType::Model(model) => self.models.get(model.as_str()).copied().unwrap_or(0),
        })
    }
}

impl Kept {
    pub(crate) fn bytes(&self) -> Bytes {
        Bytes(self.bytes)
    }

    pub(crate) fn holds(&self, tree: TreeId) -> bool {
        self.trees.contains_key(&tree)
    }

    /// Returns how large a tree is, if it is one of them.
    pub(crate) fn size(&self, tree: TreeId) -> Option<Bytes> {
        self.trees.get(&tree).map(|(_, bytes)| *bytes)
    }

    pub(crate) fn add(&mut self, tree: TreeId, bytes: Bytes) {
        let (count, _) = self.trees.entry(tree).or_insert_with(|| {
            self.bytes = self.bytes.saturating_add(bytes.0);
            (0, bytes)
        });
        *count += 1;
    }

    pub(crate) fn take(&mut self, tree: TreeId) {
        let Some((count, bytes)) = self.trees.get_mut(&tree) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            self.bytes = self.bytes.saturating_sub(bytes.0);
            self.trees.remove(&tree);
        }
    }
}
