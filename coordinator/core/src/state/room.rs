//! Machines by what they have to spare, so that one that fits is found without looking at those that do not.
//!
//! Machines whose rules are the same, and which differ little in size, stand in one group. A group is a tree of maxima
//! over its machines (a segment tree): a part of it that has too little of any one thing is passed over as a whole. The
//! next machine with enough of everything then costs the logarithm of how many there are, where machines that are
//! full are short of the same thing; where some lack processors and others memory, a part may have to be walked.

use std::collections::{BTreeMap, BTreeSet};

use common::{
    id::MachineId,
    label::Label,
    machine::{Admits, MachineReport, PausedBy},
    resources::{Allocation, Gpu, GpuHealth, Request},
    status::{IsolationLevel, Network},
    units::{Bytes, MilliCpu},
};

/// What there is to spare of each thing by itself. Enough of each is what a task needs at least; whether it fits is
/// then found out on the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Spare {
    cpu: MilliCpu,
    memory: Bytes,
    disk: Bytes,
    /// Attempts that it can still be told of.
    attempts: usize,
    /// GPUs that nobody uses.
    gpus: u32,
    /// The most memory that one of them has, or has left.
    gpu_memory: Bytes,
    /// How much data it keeps at once.
    cache: Bytes,
    /// Whether nothing runs there.
    idle: bool,
}

/// What makes machines alike, smallest first: a task goes to the smallest kind with room, so that the others keep
/// theirs for large tasks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    gpus: usize,
    /// The logarithms to base two of what is lent.
    memory: u32,
    cpu: u32,
    /// What GPUs there are: model and memory.
    models: BTreeSet<(String, Bytes)>,
    level: IsolationLevel,
    strong: bool,
    networks: Vec<Network>,
    paused: Option<PausedBy>,
    admits: Admits,
    labels: Vec<Label>,
}

/// Machines in their groups.
#[derive(Debug, Clone, Default)]
pub(crate) struct Room {
    kinds: BTreeMap<Kind, usize>,
    /// By the numbers in `kinds`; emptied ones stay for their number.
    groups: Vec<Group>,
    /// Group and place of each machine.
    places: BTreeMap<MachineId, (usize, usize)>,
}

/// Machines of one kind, each at a place that it keeps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    machines: Vec<Option<MachineId>>,
    vacant: BTreeSet<usize>,
    /// A node's children are at twice its place and beside that; the root is at 1. The lower half are maxima of its
    /// children, the upper half are the machines.
    tree: Vec<Spare>,
}

impl Spare {
    /// Returns what a machine has beside what is held of it.
    pub(crate) fn of(report: &MachineReport, held: &Allocation, attempts: usize) -> Self {
        let offer = &report.offer;
        let mut spare = Self {
            cpu: MilliCpu(offer.cpu.0.saturating_sub(held.cpu.0)),
            memory: Bytes(offer.memory.0.saturating_sub(held.memory.0)),
            disk: Bytes(offer.disk.0.saturating_sub(held.disk.0)),
            attempts,
            cache: report.cache_limit.unwrap_or(Bytes(u64::MAX)),
            idle: *held == Allocation::default(),
            ..Self::default()
        };
        let usable = |gpu: &&Gpu| matches!(gpu.health, GpuHealth::Usable | GpuHealth::Shared);
        for gpu in offer.gpus.iter().filter(usable) {
            let left = match held.gpus.contains(&gpu.uuid) {
                false => {
                    spare.gpus += u32::from(gpu.health == GpuHealth::Usable);
                    gpu.memory
                }
                true => match held.gpu_shares.get(&gpu.uuid) {
                    Some(share) => Bytes(gpu.memory.0.saturating_sub(share.0)),
                    None => continue,
                },
            };
            spare.gpu_memory = spare.gpu_memory.max(left);
        }
        spare
    }

    fn max(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.max(other.cpu),
            memory: self.memory.max(other.memory),
            disk: self.disk.max(other.disk),
            attempts: self.attempts.max(other.attempts),
            gpus: self.gpus.max(other.gpus),
            gpu_memory: self.gpu_memory.max(other.gpu_memory),
            cache: self.cache.max(other.cache),
            idle: self.idle || other.idle,
        }
    }

    /// Returns whether there is as much of each thing as the request asks for, with so much data.
    pub(crate) fn covers(&self, request: &Request, data: Bytes) -> bool {
        let gpu = request.gpu.as_ref().filter(|gpu| gpu.count > 0);
        self.attempts > 0
            && self.cpu >= request.cpu
            && self.memory >= request.memory
            && self.disk >= request.disk
            && self.cache >= data
            && (self.idle || !request.exclusive)
            && gpu.is_none_or(|gpu| {
                (gpu.shared_memory().is_some() || self.gpus >= gpu.count)
                    && gpu.memory.is_none_or(|memory| self.gpu_memory >= memory)
            })
    }
}

impl Kind {
    pub(crate) fn of(report: &MachineReport, labels: Vec<Label>) -> Self {
        let offer = &report.offer;
        let models = offer.gpus.iter().map(|gpu| (gpu.model.clone(), gpu.memory));
        Self {
            gpus: offer.gpus.len(),
            memory: offer.memory.0.checked_ilog2().unwrap_or(0),
            cpu: offer.cpu.0.checked_ilog2().unwrap_or(0),
            models: models.collect(),
            level: report.isolation.level,
            strong: report.isolation.strong,
            networks: report.isolation.networks.clone(),
            paused: report.paused.as_ref().map(|pause| pause.by),
            admits: report.admits.clone(),
            labels,
        }
    }

    /// Returns whether it has GPUs of the kind asked for, if any are.
    pub(crate) fn has_model(&self, request: &Request) -> bool {
        let gpu = request.gpu.as_ref().filter(|gpu| gpu.count > 0);
        gpu.is_none_or(|gpu| {
            let mut models = self.models.iter();
            models.any(|(model, memory)| gpu.accepts_kind(model, *memory))
        })
    }

    /// Returns whether machines of the kind may be as large as the request is, and have such GPUs.
    pub(crate) fn is_large_enough(&self, request: &Request) -> bool {
        let log = |amount: u64| amount.checked_ilog2().unwrap_or(0);
        self.cpu >= log(request.cpu.0.into())
            && self.memory >= log(request.memory.0)
            && self.has_model(request)
    }

    /// Returns whether no two of its GPUs differ.
    pub(crate) fn has_one_model(&self) -> bool {
        self.models.len() <= 1
    }
}

impl Room {
    pub(crate) fn put(&mut self, machine: MachineId, kind: Kind, spare: Spare) {
        self.take(machine);
        let number = match self.kinds.get(&kind) {
            Some(number) => *number,
            None => {
                let emptied = self.groups.iter().position(Group::is_empty);
                let number = emptied.unwrap_or(self.groups.len());
                self.groups
                    .resize_with(self.groups.len().max(number + 1), Group::default);
                self.kinds.insert(kind, number);
                number
            }
        };
        let place = self.groups[number].put(machine, spare);
        self.places.insert(machine, (number, place));
    }

    pub(crate) fn take(&mut self, machine: MachineId) {
        let Some((number, place)) = self.places.remove(&machine) else {
            return;
        };
        self.groups[number].take(place);
        if self.groups[number].is_empty() {
            self.groups[number] = Group::default();
            self.kinds.retain(|_, kept| *kept != number);
        }
    }

    /// Notes what a machine that is here has to spare now.
    pub(crate) fn set(&mut self, machine: MachineId, spare: Spare) {
        if let Some((number, place)) = self.places.get(&machine) {
            self.groups[*number].set(*place, spare);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(crate) fn count(&self) -> usize {
        self.places.len()
    }

    /// Returns the groups, smallest kind first, each with its number.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (usize, &Kind, &Group)> {
        self.kinds
            .iter()
            .map(|(kind, number)| (*number, kind, &self.groups[*number]))
    }

    /// Returns whether some machine may have room.
    pub(crate) fn may_fit(&self, request: &Request, data: Bytes) -> bool {
        let mut groups = self.groups();
        groups.any(|(_, kind, group)| {
            kind.has_model(request) && group.next(request, data, 0).is_some()
        })
    }
}

impl PartialEq for Room {
    /// Compares what is in it: places depend on who came first.
    fn eq(&self, other: &Self) -> bool {
        let list = |room: &Self| {
            let kinds: BTreeMap<usize, &Kind> = room
                .kinds
                .iter()
                .map(|(kind, number)| (*number, kind))
                .collect();
            let places = room.places.iter();
            let machines = places.map(|(machine, (number, place))| {
                let spare = room.groups[*number].spare(*place);
                (*machine, (kinds.get(number).copied().cloned(), spare))
            });
            machines.collect::<BTreeMap<_, _>>()
        };
        list(self) == list(other)
    }
}

impl Eq for Room {}

impl Group {
    fn is_empty(&self) -> bool {
        self.vacant.len() == self.machines.len()
    }

    pub(crate) fn machines(&self) -> impl Iterator<Item = MachineId> {
        self.machines.iter().flatten().copied()
    }

    fn spare(&self, place: usize) -> Spare {
        self.tree[self.leaves() + place]
    }

    /// Returns how many machines the tree has place for: a power of two.
    const fn leaves(&self) -> usize {
        self.tree.len() / 2
    }

    fn put(&mut self, machine: MachineId, spare: Spare) -> usize {
        let place = match self.vacant.pop_first() {
            Some(place) => place,
            None => {
                self.machines.push(None);
                self.machines.len() - 1
            }
        };
        self.machines[place] = Some(machine);
        if self.leaves() < self.machines.len() {
            self.grow();
        }
        self.set(place, spare);
        place
    }

    fn take(&mut self, place: usize) {
        self.machines[place] = None;
        self.vacant.insert(place);
        self.set(place, Spare::default());
    }

    fn grow(&mut self) {
        let (before, leaves) = (self.leaves(), self.machines.len().next_power_of_two());
        let mut tree = vec![Spare::default(); 2 * leaves];
        tree[leaves..leaves + before].copy_from_slice(&self.tree[before..]);
        for node in (1..leaves).rev() {
            tree[node] = tree[2 * node].max(tree[2 * node + 1]);
        }
        self.tree = tree;
    }

    fn set(&mut self, place: usize, spare: Spare) {
        let mut node = self.leaves() + place;
        self.tree[node] = spare;
        while node > 1 {
            node /= 2;
            let most = self.tree[2 * node].max(self.tree[2 * node + 1]);
            if self.tree[node] == most {
                return;
            }
            self.tree[node] = most;
        }
    }

    /// Returns the first machine at `from` or after it that has as much to spare, and its place.
    pub(crate) fn next(
        &self,
        request: &Request,
        data: Bytes,
        from: usize,
    ) -> Option<(usize, MachineId)> {
        let leaves = self.leaves();
        if from >= leaves {
            return None;
        }
        // As much as begins with that machine at once; then down where there may be one, else to what lies to the right.
        let mut node = leaves + from;
        node >>= node.trailing_zeros().min(leaves.ilog2());
        loop {
            if self.tree[node].covers(request, data) {
                if node >= leaves {
                    let place = node - leaves;
                    return self.machines[place].map(|machine| (place, machine));
                }
                node *= 2;
                continue;
            }
            while node % 2 == 1 {
                node /= 2;
                if node <= 1 {
                    return None;
                }
            }
            node += 1;
        }
    }
}

#[cfg(test)]
mod tests;
