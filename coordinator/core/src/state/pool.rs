//! What connected machines lend, and which of them have room: kept with every change of a machine, so that a pass of
//! the schedule does not walk them all. True of this process only, as connections are.

use std::collections::{BTreeMap, BTreeSet};

use common::{
    id::{MachineId, OrgId},
    wire::agent::MAX_ATTEMPTS_PER_MACHINE,
};

use super::{State, held::Held};

/// The machines that are approved and connected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pool {
    machines: BTreeMap<MachineId, Lent>,
    orgs: BTreeMap<OrgId, OrgPool>,
}

/// What a machine adds to its org.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lent {
    org: OrgId,
    milli_cpu: u64,
    memory: u64,
    gpus: u64,
}

/// What an org's machines lend together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OrgPool {
    pub(crate) total: Held,
    /// Those with a processor and memory to spare, which something could fit on.
    pub(crate) with_room: BTreeSet<MachineId>,
}

impl Pool {
    pub(crate) fn of(&self, org: OrgId) -> Option<&OrgPool> {
        self.orgs.get(&org)
    }

    fn put(&mut self, machine: MachineId, lent: Lent, has_room: bool) {
        let pool = self.orgs.entry(lent.org).or_default();
        pool.total.milli_cpu = pool.total.milli_cpu.saturating_add(lent.milli_cpu);
        pool.total.memory = pool.total.memory.saturating_add(lent.memory);
        pool.total.gpus = pool.total.gpus.saturating_add(lent.gpus);
        if has_room {
            pool.with_room.insert(machine);
        }
        self.machines.insert(machine, lent);
    }

    fn take(&mut self, machine: MachineId) {
        let Some(lent) = self.machines.remove(&machine) else {
            return;
        };
        if let Some(pool) = self.orgs.get_mut(&lent.org) {
            pool.total.milli_cpu = pool.total.milli_cpu.saturating_sub(lent.milli_cpu);
            pool.total.memory = pool.total.memory.saturating_sub(lent.memory);
            pool.total.gpus = pool.total.gpus.saturating_sub(lent.gpus);
            pool.with_room.remove(&machine);
            if *pool == OrgPool::default() {
                self.orgs.remove(&lent.org);
            }
        }
    }
}

/// Looks at the machine again: it, its report, its connection or what it holds has changed.
pub(crate) fn refresh(state: &mut State, machine: MachineId) {
    state.volatile.pool.take(machine);
    let row = state.machines.get(&machine);
    let row = row.filter(|row| row.state.is_approved() && state.is_connected(machine));
    let (Some(row), Some(report)) = (row, state.reports.get(&machine)) else {
        return;
    };
    let offer = &report.offer;
    let lent = Lent {
        org: row.org,
        milli_cpu: u64::from(offer.cpu.0),
        memory: offer.memory.0,
        gpus: offer.gpus.len() as u64,
    };
    let has_room = state.index.machines.get(&machine).is_none_or(|used| {
        used.held.cpu < offer.cpu
            && used.held.memory < offer.memory
            && used.desired.len() < MAX_ATTEMPTS_PER_MACHINE
    });
    state.volatile.pool.put(machine, lent, has_room);
}
