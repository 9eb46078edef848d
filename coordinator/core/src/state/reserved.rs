//! Machines that are kept free for a job which came first and found no room: without that, small jobs would take whatever
//! ends, and a large one would wait for ever. True of this process only; a coordinator that starts again keeps others.

use std::collections::{BTreeMap, BTreeSet};

use common::{
    id::{JobId, MachineId, OrgId},
    resources::Request,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::{State, job::JobProgress};

/// What is kept of a machine, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reservation {
    pub(crate) org: OrgId,
    pub(crate) job: JobId,
    /// Of one of its tasks.
    pub(crate) request: Request,
    /// When the job should begin there.
    pub(crate) begin: Timestamp,
    pub(crate) why: ReservedBy,
}

/// Why a machine is kept free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReservedBy {
    /// The job comes first, and takes what ends there by itself.
    Backfill,
    /// Something gives way there to one task of the job.
    Preemption,
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

    /// Returns on which machines something gives way to a job.
    pub(crate) fn taken(&self, org: OrgId, job: JobId) -> impl Iterator<Item = MachineId> {
        let machines = self.machines(org, job);
        machines.filter(|machine| {
            self.of(*machine)
                .is_some_and(|one| one.why == ReservedBy::Preemption)
        })
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

    /// Ends that of the machine on which a task of the job was placed, and what was kept for its turn. Where something
    /// gives way elsewhere to further tasks of it, `left` of them, that goes on.
    fn end_of_turn(&mut self, org: OrgId, job: JobId, machine: MachineId, left: usize) {
        let taken: BTreeSet<MachineId> = self.taken(org, job).collect();
        let others = taken.iter().filter(|one| **one != machine).take(left);
        let kept: BTreeSet<MachineId> = others.copied().collect();
        let ended: Vec<MachineId> = self.machines(org, job).collect();
        for machine in ended.into_iter().filter(|one| !kept.contains(one)) {
            self.take(machine);
        }
    }

    /// Ends all of an org's.
    pub(crate) fn forget(&mut self, org: OrgId) {
        self.machines.retain(|_, kept| kept.org != org);
        self.jobs.retain(|(of, _), _| *of != org);
    }
}

/// Ends what was reserved for the turn of a job that was given a machine.
pub(crate) fn placed(state: &mut State, org: OrgId, job: JobId, machine: MachineId) {
    let left = state.progress.get(&job).map_or(0, JobProgress::in_queue);
    let reserved = &mut state.volatile.reserved;
    if reserved.jobs.contains_key(&(org, job)) {
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        reserved.end_of_turn(org, job, machine, left);
        state.volatile.due.insert(org);
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
