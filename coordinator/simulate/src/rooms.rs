//! What the machines have free, and what runs on them: the part that both rivals share.

use std::collections::BTreeMap;

use crate::{
    pool::{Amount, Pool},
    scheduler::TaskId,
};

/// A task on its machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) machine: usize,
    pub(crate) amount: Amount,
    /// By what it asked for; it may end before.
    pub(crate) ends_ms: u64,
}

/// All machines.
#[derive(Debug)]
pub(crate) struct Rooms {
    free: Vec<Amount>,
    held: BTreeMap<TaskId, Held>,
}

impl Rooms {
    pub(crate) fn new(pool: &Pool) -> Self {
        Self {
            free: pool.rooms(),
            held: BTreeMap::new(),
        }
    }

    /// Returns so many machines, those on which `asked` leaves the fewest processors free, among those where it fits and
    /// `may` says so; `None` where there are fewer.
    pub(crate) fn best(
        &self,
        asked: &Amount,
        nodes: usize,
        may: impl Fn(usize) -> bool,
    ) -> Option<Vec<usize>> {
        let machines = self.free.iter().enumerate();
        let fitting = machines.filter(|(machine, free)| asked.fits(free) && may(*machine));
        let keyed = fitting.map(|(machine, free)| (free.gpus, free.cpu, free.memory, machine));
        if nodes == 1 {
            return keyed.min().map(|(.., machine)| vec![machine]);
        }
        let mut keyed: Vec<_> = keyed.collect();
        keyed.sort_unstable();
        let best = keyed.get(..nodes)?;
        Some(best.iter().map(|(.., machine)| *machine).collect())
    }

    /// Returns the most that is free of each, perhaps on different machines.
    pub(crate) fn most(&self) -> Amount {
        let empty = Amount::default();
        self.free.iter().fold(empty, |most, free| most.most(free))
    }

    /// Puts a task where it fits.
    pub(crate) fn take(&mut self, task: TaskId, held: Held) {
        let free = &mut self.free[held.machine];
        if let Some(left) = free.minus(&held.amount) {
            *free = left;
            self.held.insert(task, held);
        }
    }

    pub(crate) fn give_back(&mut self, task: TaskId) {
        if let Some(held) = self.held.remove(&task) {
            let free = &mut self.free[held.machine];
            *free = free.plus(&held.amount);
        }
    }

    /// Returns for each machine what is free now, and what runs there.
    pub(crate) fn machines(&self) -> Vec<(Amount, Vec<Held>)> {
        let mut machines: Vec<_> = self.free.iter().map(|free| (*free, Vec::new())).collect();
        for held in self.held.values() {
            machines[held.machine].1.push(*held);
        }
        machines
    }
}
