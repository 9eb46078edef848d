//! A machine as the schedule looks at it, with what is free on it: a copy, so that a pass can take away what it gives.

use std::collections::BTreeSet;

use common::{
    id::{AttemptId, JobId, MachineId, OrgId, UserId},
    label::Label,
    machine::MachineReport,
    name::Name,
    resources::{Allocation, Capacity, Request},
    time::Timestamp,
};

use super::{
    feasible::Ask,
    reserve::{Kept, Running},
};
use crate::state::{State, attempt::Attempt, trouble::SetAside};

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
    live: Option<&'a BTreeSet<AttemptId>>,
    pub(in crate::schedule) occupied: Occupied,
    state: &'a State,
    /// For another job, where it is kept free.
    pub(in crate::schedule) kept: Option<Kept<'a>>,
}

/// Who is on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::schedule) enum Occupied {
    Nobody,
    /// Tasks that take others beside them.
    Tasks,
    /// One that has it to itself.
    Exclusively,
}

impl Occupied {
    fn by(state: &State, live: Option<&BTreeSet<AttemptId>>) -> Self {
        let first = live.and_then(BTreeSet::first);
        let job = first.and_then(|id| state.jobs.get(&id.job));
        match job {
            None => Self::Nobody,
            Some(job) if job.spec.request.exclusive => Self::Exclusively,
            Some(_) => Self::Tasks,
        }
    }
}

impl<'a> MachineView<'a> {
    /// Returns every approved machine of an org, by name.
    pub(crate) fn all(state: &'a State, org: OrgId) -> impl Iterator<Item = Self> {
        let names = state.index.machine_names.get(&org);
        let ids = names.into_iter().flat_map(|names| names.values());
        ids.filter_map(|id| Self::of(state, *id))
    }

    /// Returns `None` for a machine that is not approved.
    pub(in crate::schedule) fn of(state: &'a State, id: MachineId) -> Option<Self> {
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
        let live = used.map(|used| &used.live);
        let reserved = state.volatile.reserved.of(id);
        Some(Self {
            state,
            live,
            occupied: Occupied::by(state, live),
            kept: reserved.map(|reserved| Kept {
                job: reserved.job,
                request: &reserved.request,
                running: running(state, live),
                together: reserved.together(state),
            }),
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

    /// Returns all that is said of it.
    pub(crate) fn labels(&self) -> Vec<Label> {
        let row = self.state.machines.get(&self.id);
        let both = row.zip(self.report);
        both.map_or_else(Vec::new, |(row, report)| row.labels(report))
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

    /// Takes what a task placed now gets.
    pub(crate) fn take(&mut self, allocation: &Allocation, ask: &Ask<'_>) {
        self.free = self.free.minus(allocation);
        self.attempts += 1;
        self.occupied = match ask.request.exclusive {
            true => Occupied::Exclusively,
            false => Occupied::Tasks,
        };
        if let Some(kept) = &mut self.kept {
            let running = Running::since(ask.now, ask.max_runtime, allocation.clone());
            kept.running.push(running);
        }
    }

    /// Returns what has not ended there.
    pub(super) fn live(&self) -> impl Iterator<Item = (AttemptId, &'a Attempt)> + use<'a> {
        let (state, live) = (self.state, self.live);
        let live = live.into_iter().flatten();
        live.filter_map(|id| Some((*id, state.attempts.get(id)?)))
    }

    /// Returns what ran there when the pass began.
    pub(super) fn running(&self) -> Vec<Running> {
        running(self.state, self.live)
    }

    /// Keeps it free from now on for a job.
    pub(super) fn keep(
        &mut self,
        job: JobId,
        request: &'a Request,
        placed: Vec<Running>,
        together: Option<Timestamp>,
    ) {
        let mut running = self.running();
        running.extend(placed);
        self.kept = Some(Kept {
            job,
            request,
            running,
            together,
        });
    }
}

fn running(state: &State, live: Option<&BTreeSet<AttemptId>>) -> Vec<Running> {
    let live = live.into_iter().flatten();
    let attempts = live.filter_map(|id| state.attempts.get(id));
    attempts.map(Running::of).collect()
}
