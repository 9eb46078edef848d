//! Approvals: what waits for an admin, decisions, and the rules of when nobody is asked.

use serde::{Deserialize, Serialize};

use super::page::Page;
use crate::{
    address_range::AddressRange,
    approval::{ApprovalRef, ApprovalRules, ApprovalView},
    id::{ApprovalId, OrgId},
    status::{Role, Verdict},
    time::Span,
};

/// What is asked about approvals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApprovalRequest {
    /// Newest first. Who may not decide sees their own.
    List {
        org: OrgId,
        /// Those that are decided, too.
        all: bool,
        /// Only those after this one, for the next page.
        after: Option<ApprovalId>,
    },
    Show {
        org: OrgId,
        approval: ApprovalRef,
    },
    Decide {
        org: OrgId,
        approval: ApprovalRef,
        verdict: Verdict,
        /// At most [`crate::approval::MAX_REASON_BYTES`].
        reason: String,
    },
    ShowRules {
        org: OrgId,
    },
    /// Jobs that may use more GPU-hours than this need approval; `None` is no job.
    SetJobThreshold {
        org: OrgId,
        gpu_hours_over: Option<u32>,
    },
    AddMachineRule {
        org: OrgId,
        role: Option<Role>,
        addresses: Option<AddressRange>,
        /// How long it holds; `None` is until it is removed.
        ttl: Option<Span>,
    },
    RemoveMachineRule {
        org: OrgId,
        number: u32,
    },
}

/// The answers to [`ApprovalRequest`]; a decision is answered by the request as it stands then, a change of the
/// rules by all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApprovalAnswer {
    List(Page<ApprovalView, ApprovalId>),
    One(Box<ApprovalView>),
    Rules(ApprovalRules),
}
