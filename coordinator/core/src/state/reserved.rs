//! Machines that are kept free for a job which came first and found no room: without that, small jobs would take whatever
//! ends, and a large one would wait for ever. True of this process only; a coordinator that starts again keeps others.

use std::collections::{BTreeMap, BTreeSet};

use common::{
    id::{JobId, MachineId, OrgId},
    resources::Request,
    time::Timestamp,
};

use super::State;

/// What is kept of a machine, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reservation {
    pub(crate) org: OrgId,
    pub(crate) job: JobId,
    /// Of one of its tasks.
    pub(crate) request: Request,
    /// When the job should begin there.
    pub(crate) begin: Timestamp,
}

/// Every reservation: at most one of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reserved {
    machines: BTreeMap<MachineId, Reservation>,
    jobs: BTreeMap<(OrgId, JobId), BTreeSet<MachineId>>,
}

impl Reservation {
    /// Returns when the job begins, where it needs other machines, too.
    pub(crate) fn together(&self, state: &State) -> Option<Timestamp> {
        let job = state.jobs.get(&self.job)?;
        job.spec.gang().map(|_| self.begin)
    }
}

impl Reserved {
    pub(crate) fn of(&self, machine: MachineId) -> Option<&Reservation> {
        self.machines.get(&machine)
    }

    /// Returns which jobs of an org have machines kept free, and which.
    pub(crate) fn jobs(&self, org: OrgId) -> impl Iterator<Item = (JobId, &BTreeSet<MachineId>)> {
        let first = (org, JobId::from_bytes([0; 16]));
        let last = (org, JobId::from_bytes([u8::MAX; 16]));
        let jobs = self.jobs.range(first..=last);
        jobs.map(|((_, job), machines)| (*job, machines))
    }

    /// Returns the machines that are kept free for a job.
    pub(crate) fn machines(&self, org: OrgId, job: JobId) -> impl Iterator<Item = MachineId> {
        let machines = self.jobs.get(&(org, job));
        machines.into_iter().flatten().copied()
    }

    pub(crate) fn put(&mut self, machine: MachineId, reservation: Reservation) {
        self.take(machine);
        let key = (reservation.org, reservation.job);
        self.jobs.entry(key).or_default().insert(machine);
        self.machines.insert(machine, reservation);
    }

    /// Ends that of a machine. Returns whose it was.
    pub(crate) fn take(&mut self, machine: MachineId) -> Option<OrgId> {
        let Reservation { org, job, .. } = self.machines.remove(&machine)?;
        if let Some(machines) = self.jobs.get_mut(&(org, job)) {
            machines.remove(&machine);
            if machines.is_empty() {
                self.jobs.remove(&(org, job));
            }
        }
        Some(org)
    }

    fn take_all(&mut self, org: OrgId, job: JobId) {
        for machine in self.jobs.remove(&(org, job)).into_iter().flatten() {
            self.machines.remove(&machine);
        }
    }

    /// Ends all of an org's.
    pub(crate) fn forget(&mut self, org: OrgId) {
        self.machines.retain(|_, kept| kept.org != org);
        self.jobs.retain(|(of, _), _| *of != org);
    }
}

/// Ends what is reserved for a job: it has its turn, or wants none any more. What was kept may be had by others.
pub(crate) fn end_of_job(state: &mut State, org: OrgId, job: JobId) {
    let reserved = &mut state.volatile.reserved;
    if reserved.jobs.contains_key(&(org, job)) {
        reserved.take_all(org, job);
        state.volatile.due.insert(org);
    }
}
