//! What a pass of the schedule found out besides what it places. True of this process only: no row is changed.

use common::{
    id::{JobId, MachineId, OrgId},
    time::Timestamp,
};
use serde::Serialize;

pub use crate::state::reserved::ReservedBy;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum PassEvent {
    /// It is kept free for a job, where nothing better is in sight.
    MachineReserved {
        machine: MachineId,
        org: OrgId,
        job: JobId,
        /// When the job should begin there.
        begin: Timestamp,
        why: ReservedBy,
    },
    /// It is kept for nobody any more.
    ReservationEnded { machine: MachineId, org: OrgId },
    /// Whether what waits takes the place of what runs was looked at last then, and is to be again.
    PreemptionLooked {
        org: OrgId,
        at: Timestamp,
        again: Option<Timestamp>,
    },
    /// Time has passed that may let something take another's place.
    PreemptionDue { org: OrgId },
    /// Nothing more can be placed there.
    ScheduleSettled { org: OrgId },
}

impl PassEvent {
    pub const fn org(&self) -> OrgId {
        match self {
            Self::MachineReserved { org, .. }
            | Self::ReservationEnded { org, .. }
            | Self::PreemptionLooked { org, .. }
            | Self::PreemptionDue { org }
            | Self::ScheduleSettled { org } => *org,
        }
    }
}
