//! What connected machines lend, and which of them have room for what: kept with every change of a machine, so that a
//! pass of the schedule does not walk them all. True of this process only, as connections are.

use std::collections::{BTreeMap, BTreeSet};

use common::{
    id::{MachineId, OrgId, TreeId, UserId},
    machine::MachineReport,
    resources::Allocation,
};

use super::{
    State,
    held::Held,
    room::{Kind, Room, Spare},
};

/// The machines that are approved and connected, and not set aside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pool {
    machines: BTreeMap<MachineId, Lent>,
    orgs: BTreeMap<OrgId, OrgPool>,
}

/// What a machine adds to its org.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lent {
    org: OrgId,
    owner: UserId,
    milli_cpu: u64,
    memory: u64,
    gpus: u64,
    /// What is in its cache.
    trees: Vec<TreeId>,
    tells_projects: bool,
}

/// What an org's machines lend together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OrgPool {
    pub(crate) total: Held,
    pub(crate) room: Room,
    /// The same machines by who owns them.
    pub(crate) own: BTreeMap<UserId, Room>,
    /// Which of them have a tree in their cache.
    pub(crate) holders: BTreeMap<TreeId, BTreeSet<MachineId>>,
    /// On how many of them it matters to which project a job belongs.
    pub(crate) telling_projects: usize,
}

impl Lent {
    fn of(org: OrgId, owner: UserId, report: &MachineReport) -> Self {
        let offer = &report.offer;
        Self {
            org,
            owner,
            milli_cpu: u64::from(offer.cpu.0),
            memory: offer.memory.0,
            gpus: offer.gpus.len() as u64,
            trees: report.cached.clone(),
            tells_projects: report.admits.tells_projects(),
        }
    }
}

impl Pool {
    pub(crate) fn of(&self, org: OrgId) -> Option<&OrgPool> {
        self.orgs.get(&org)
    }

    fn put(&mut self, machine: MachineId, lent: Lent, kind: Kind, spare: Spare) {
        let pool = self.orgs.entry(lent.org).or_default();
        pool.total.milli_cpu = pool.total.milli_cpu.saturating_add(lent.milli_cpu);
        pool.total.memory = pool.total.memory.saturating_add(lent.memory);
        pool.total.gpus = pool.total.gpus.saturating_add(lent.gpus);
        pool.room.put(machine, kind.clone(), spare);
        let own = pool.own.entry(lent.owner).or_default();
        own.put(machine, kind, spare);
        for tree in &lent.trees {
            pool.holders.entry(*tree).or_default().insert(machine);
        }
        pool.telling_projects += usize::from(lent.tells_projects);
        self.machines.insert(machine, lent);
    }

    fn take(&mut self, machine: MachineId) {
        let Some(lent) = self.machines.remove(&machine) else {
            return;
        };
        let Some(pool) = self.orgs.get_mut(&lent.org) else {
            return;
        };
        pool.total.milli_cpu = pool.total.milli_cpu.saturating_sub(lent.milli_cpu);
        pool.total.memory = pool.total.memory.saturating_sub(lent.memory);
        pool.total.gpus = pool.total.gpus.saturating_sub(lent.gpus);
        pool.room.take(machine);
        if let Some(own) = pool.own.get_mut(&lent.owner) {
            own.take(machine);
            if own.is_empty() {
                pool.own.remove(&lent.owner);
            }
        }
        for tree in &lent.trees {
            if let Some(holders) = pool.holders.get_mut(tree) {
                holders.remove(&machine);
                if holders.is_empty() {
                    pool.holders.remove(tree);
                }
            }
        }
        pool.telling_projects -= usize::from(lent.tells_projects);
        if pool.room.is_empty() {
            self.orgs.remove(&lent.org);
        }
    }
}

/// Looks at the machine again: it, its report or its connection has changed.
pub(crate) fn refresh(state: &mut State, machine: MachineId) {
    state.volatile.pool.take(machine);
    let row = state.machines.get(&machine);
    let row = row.filter(|row| {
        row.state.is_approved() && state.is_connected(machine) && !state.is_set_aside(machine)
    });
    let (Some(row), Some(report)) = (row, state.reports.get(&machine)) else {
        // What else was kept for its job is so in vain.
        let kept = state.volatile.reserved.take(machine);
        state.volatile.due.extend(kept);
        return;
    };
    let lent = Lent::of(row.org, row.owner, report);
    let (kind, spare) = (
        Kind::of(report, row.labels(report)),
        spare(state, machine, report),
    );
    state.volatile.pool.put(machine, lent, kind, spare);
}

/// Looks again at what is held of the machine.
pub(crate) fn held_changed(state: &mut State, machine: MachineId) {
    let row = state.machines.get(&machine);
    if row.is_some_and(|row| row.set_aside.is_some()) {
        return refresh(state, machine);
    }
    let Some(report) = state.reports.get(&machine) else {
        return;
    };
    let spare = spare(state, machine, report);
    let pool = &mut state.volatile.pool;
    let Some(lent) = pool.machines.get(&machine) else {
        return;
    };
    if let Some(org) = pool.orgs.get_mut(&lent.org) {
        org.room.set(machine, spare);
        if let Some(own) = org.own.get_mut(&lent.owner) {
            own.set(machine, spare);
        }
    }
}

fn spare(state: &State, machine: MachineId, report: &MachineReport) -> Spare {
    let most = state.most_attempts(machine);
    match state.index.machines.get(&machine) {
        None => Spare::of(report, &Allocation::default(), most),
        Some(used) => {
            let attempts = most.saturating_sub(used.desired.len());
            Spare::of(report, &used.held, attempts)
        }
    }
}
