//! What there is of an org in the order in which it is listed, where nothing else keeps that.

use std::collections::{BTreeMap, BTreeSet};

use common::{
    id::{ApprovalId, InvitationId, MachineId, OrgId},
    join_link::LinkPurpose,
    name::Name,
};

use super::belongings::{put, take};
use crate::state::{approval::Approval, invitation::Invitation, machine::Machine};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Those that were not removed. A rejected one may have the name of another.
    pub(crate) machines: BTreeMap<OrgId, BTreeSet<(Name, MachineId)>>,
    /// In whatever state, without the links that sign members in.
    pub(crate) invitations: BTreeMap<OrgId, BTreeSet<InvitationId>>,
    /// In whatever state.
    pub(crate) approvals: BTreeMap<OrgId, BTreeSet<ApprovalId>>,
}

impl Listed {
    pub(super) fn machine_in(&mut self, id: MachineId, row: &Machine) {
        if row.state.is_listed() {
            put(&mut self.machines, row.org, (row.name.clone(), id));
        }
    }

    pub(super) fn machine_out(&mut self, id: MachineId, row: &Machine) {
        take(&mut self.machines, &row.org, &(row.name.clone(), id));
    }

    pub(super) fn invitation_in(&mut self, id: InvitationId, row: &Invitation) {
        if row.purpose == LinkPurpose::Join {
            put(&mut self.invitations, row.org, id);
        }
    }

    pub(super) fn invitation_out(&mut self, id: InvitationId, row: &Invitation) {
        take(&mut self.invitations, &row.org, &id);
    }

    pub(super) fn approval_in(&mut self, id: ApprovalId, row: &Approval) {
        put(&mut self.approvals, row.org, id);
    }

    pub(super) fn approval_out(&mut self, id: ApprovalId, row: &Approval) {
        take(&mut self.approvals, &row.org, &id);
    }
}
