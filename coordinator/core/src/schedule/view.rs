//! A machine as the schedule looks at it, with what is free on it: a copy, so that a pass can take away what it gives.

use common::{
    id::{MachineId, OrgId, UserId},
    machine::MachineReport,
    name::Name,
    resources::{Allocation, Capacity},
};

use crate::state::{State, held::Held, pool::OrgPool, trouble::SetAside};

/// Shares are counted in parts of a million.
const WHOLE: u128 = 1_000_000;

#[derive(Debug)]
pub(crate) struct MachineView<'a> {
    pub(crate) id: MachineId,
    pub(crate) name: &'a Name,
    pub(crate) owner: UserId,
    pub(crate) connected: bool,
    pub(crate) report: Option<&'a MachineReport>,
    pub(crate) free: Capacity,
    /// In its desired set.
    pub(crate) attempts: usize,
    most_attempts: usize,
    /// Why it takes nothing new, where it was set aside and nobody may try it now.
    pub(crate) set_aside: Option<&'a SetAside>,
}

/// Returns the largest part of any one resource that is held of what is lent in all (dominant resource fairness, Ghodsi
/// et al., NSDI 2011).
pub(crate) fn share(held: &Held, pool: Option<&OrgPool>) -> u64 {
    let total = pool.map_or(const { &Held::nothing() }, |pool| &pool.total);
    let part = |held: u64, total: u64| {
        let total = u128::from(total.max(1));
        u64::try_from(u128::from(held) * WHOLE / total).unwrap_or(u64::MAX)
    };
    part(held.milli_cpu, total.milli_cpu)
        .max(part(held.memory, total.memory))
        .max(part(held.gpus, total.gpus))
}

impl<'a> MachineView<'a> {
    /// Returns every approved machine of an org, by name.
    pub(crate) fn all(state: &'a State, org: OrgId) -> impl Iterator<Item = Self> {
        let names = state.index.machine_names.get(&org);
        let ids = names.into_iter().flat_map(|names| names.values());
        ids.filter_map(|id| Self::of(state, *id))
    }

    /// Returns `None` for a machine that is not approved.
    pub(super) fn of(state: &'a State, id: MachineId) -> Option<Self> {
        let machine = state.machines.get(&id)?;
        if !machine.state.is_approved() {
            return None;
        }
        let report = state.reports.get(&id);
        let used = state.index.machines.get(&id);
        let free = match (report, used) {
            (None, _) => Capacity::default(),
            (Some(report), None) => report.offer.clone(),
            (Some(report), Some(used)) => report.offer.minus(&used.held),
        };
        Some(Self {
            id,
            name: &machine.name,
            owner: machine.owner,
            connected: state.is_connected(id),
            report,
            free,
            attempts: used.map_or(0, |used| used.desired.len()),
            most_attempts: state.most_attempts(id),
            set_aside: machine
                .set_aside
                .as_ref()
                .filter(|_| state.is_set_aside(id)),
        })
    }

    pub(crate) fn is_full(&self) -> bool {
        self.attempts >= self.most_attempts
    }

    /// Returns the model of each GPU of an allocation, in their order.
    pub(crate) fn models(&self, allocation: &Allocation) -> Vec<String> {
        let offered = self.report.map_or(&[][..], |report| &report.offer.gpus);
        let model = |uuid: &String| {
            let gpu = offered.iter().find(|gpu| gpu.uuid == *uuid);
            gpu.map(|gpu| gpu.model.clone()).unwrap_or_default()
        };
        allocation.gpus.iter().map(model).collect()
    }

    pub(crate) fn take(&mut self, allocation: &Allocation) {
        self.free = self.free.minus(allocation);
        self.attempts += 1;
    }
}
