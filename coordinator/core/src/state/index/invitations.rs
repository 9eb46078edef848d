//! Invitations and sign-in links by what people find them with, and by when they end.

use std::collections::BTreeSet;

use common::{
    id::{InvitationId, OrgId},
    time::Timestamp,
};

use super::Index;
use crate::state::invitation::{Guest, Invitation};

impl Index {
    pub(crate) fn invitation_in(&mut self, id: InvitationId, row: &Invitation) {
        for code in &row.codes {
            self.codes.insert(*code, id);
        }
        if let Some(Guest::User(user)) = row.invitee {
            self.invitees.entry(user).or_default().insert(id);
        }
        let ends = self.invitation_ends.entry(row.org).or_default();
        ends.insert((row.ends_at(), id));
        self.listed.invitation_in(id, row);
        self.belongings.invitation_in(id, row);
    }

    pub(crate) fn invitation_out(&mut self, id: InvitationId, row: &Invitation) {
        for code in &row.codes {
            self.codes.remove(code);
        }
        if let Some(Guest::User(user)) = row.invitee
            && let Some(ids) = self.invitees.get_mut(&user)
        {
            ids.remove(&id);
            if ids.is_empty() {
                self.invitees.remove(&user);
            }
        }
        if let Some(ends) = self.invitation_ends.get_mut(&row.org) {
            ends.remove(&(row.ends_at(), id));
            if ends.is_empty() {
                self.invitation_ends.remove(&row.org);
            }
        }
        self.listed.invitation_out(id, row);
        self.belongings.invitation_out(id, row);
    }

    /// Returns all of an org, open or not, with when each ends or did.
    pub(crate) fn invitations_of(
        &self,
        org: OrgId,
    ) -> Option<&BTreeSet<(Timestamp, InvitationId)>> {
        self.invitation_ends.get(&org)
    }
}
