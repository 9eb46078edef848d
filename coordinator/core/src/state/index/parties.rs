//! Who has to do with an attempt, and what something happens to by itself.

use std::collections::BTreeMap;

use common::{
    id::{JobId, MachineId, UserId},
    status::Priority,
};

use crate::state::{attempt::Attempt, job::Job, machine::Machine};

/// Whose an attempt is, and whose machine it has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parties {
    pub(crate) owner: UserId,
    pub(crate) lender: UserId,
    /// As it was submitted.
    pub(crate) priority: Priority,
}

impl Parties {
    pub(crate) fn of(
        machines: &BTreeMap<MachineId, Machine>,
        attempt: &Attempt,
        job: &Job,
    ) -> Self {
        let machine = machines.get(&attempt.machine);
        let lender = machine.map_or(job.owner, |machine| machine.owner);
        Self {
            owner: job.owner,
            lender,
            priority: job.spec.priority,
        }
    }
}

/// What something happens to once its moment has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Waking {
    /// Tasks of it are tried again.
    Job(JobId),
    /// It was set aside, and may be tried.
    Machine(MachineId),
}
