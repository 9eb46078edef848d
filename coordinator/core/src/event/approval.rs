//! What happens to requests for approval and to the rules of when nobody is asked.

use common::{
    approval::ApprovalRules,
    id::{ApprovalId, OrgId, UserId},
    time::Timestamp,
};
use serde::Serialize;

use crate::{lifecycle::approval::ApprovalState, state::rows::RowKey};

pub use crate::state::approval::ApprovalSubject;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ApprovalEvent {
    /// A job that is asked about is out of the queue until it is approved.
    ApprovalAsked {
        approval: ApprovalId,
        org: OrgId,
        subject: ApprovalSubject,
        note: String,
        asked_by: UserId,
        at: Timestamp,
    },
    /// Answered, or withdrawn. What follows for a machine or a member is told by events of their own.
    ApprovalDecided {
        approval: ApprovalId,
        org: OrgId,
        subject: ApprovalSubject,
        before: ApprovalState,
        after: ApprovalState,
    },
    ApprovalRulesChanged {
        org: OrgId,
        before: Box<ApprovalRules>,
        after: Box<ApprovalRules>,
        /// Number of the newest rule about machines.
        made: u32,
    },
}

impl ApprovalEvent {
    pub const fn org(&self) -> OrgId {
        match self {
            Self::ApprovalAsked { org, .. }
            | Self::ApprovalDecided { org, .. }
            | Self::ApprovalRulesChanged { org, .. } => *org,
        }
    }

    pub(super) fn touched(&self) -> Vec<RowKey> {
        match self {
            Self::ApprovalAsked {
                approval, subject, ..
            }
            | Self::ApprovalDecided {
                approval, subject, ..
            } => {
                let job = match subject {
                    ApprovalSubject::Job(job) => Some(RowKey::progress(*job)),
                    ApprovalSubject::Machine(_) | ApprovalSubject::Rejoin(_) => None,
                };
                [RowKey::approval(*approval)]
                    .into_iter()
                    .chain(job)
                    .collect()
            }
            Self::ApprovalRulesChanged { org, .. } => vec![RowKey::org(*org)],
        }
    }
}
