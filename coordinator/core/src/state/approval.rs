//! Requests for approval as rows.

use common::{
    id::{ApprovalId, JobId, MachineId, OrgId, UserId},
    status::ApprovalKind,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::machine::Machine;
use crate::lifecycle::{approval::ApprovalState, machine::MachineState};

/// Something that an admin is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Approval {
    pub(crate) org: OrgId,
    pub(crate) subject: ApprovalSubject,
    /// What makes it need approval, or what was said to it.
    pub(crate) note: String,
    pub(crate) asked_by: UserId,
    pub(crate) asked_at: Timestamp,
    pub(crate) state: ApprovalState,
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalSubject {
    Machine(MachineId),
    Job(JobId),
    /// A former member.
    Rejoin(UserId),
}

impl ApprovalSubject {
    pub(crate) const fn kind(self) -> ApprovalKind {
        match self {
            Self::Machine(_) => ApprovalKind::Machine,
            Self::Job(_) => ApprovalKind::Job,
            Self::Rejoin(_) => ApprovalKind::Rejoin,
        }
    }
}

/// Returns the id of the request about a machine: there is one, so it has the machine's own.
pub(crate) fn of_machine(machine: MachineId) -> ApprovalId {
    ApprovalId::from_bytes(*machine.as_bytes())
}

/// Returns the id of the request about a job: there is at most one, so it has the job's own.
pub(crate) fn of_job(job: JobId) -> ApprovalId {
    ApprovalId::from_bytes(*job.as_bytes())
}

/// Returns the request behind a machine that was registered before requests were kept, and still waits.
pub(crate) fn of_old(id: MachineId, machine: &Machine) -> Option<Approval> {
    (machine.state == MachineState::Pending).then(|| Approval {
        org: machine.org,
        subject: ApprovalSubject::Machine(id),
        note: String::new(),
        asked_by: machine.owner,
        asked_at: machine.registered_at,
        state: ApprovalState::Waiting,
    })
}
