//! What can be asked about approvals, by a member.

use common::{
    address_range::AddressRange,
    approval::ApprovalRef,
    id::OrgId,
    status::{Role, Verdict},
    time::Span,
};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApprovalCommand {
    Decide {
        org: OrgId,
        approval: ApprovalRef,
        verdict: Verdict,
        reason: String,
    },
    SetJobThreshold {
        org: OrgId,
        gpu_hours_over: Option<u32>,
    },
    AddMachineRule {
        org: OrgId,
        role: Option<Role>,
        addresses: Option<AddressRange>,
        ttl: Option<Span>,
    },
    RemoveMachineRule {
        org: OrgId,
        number: u32,
    },
}
