//! Invitations and certificates.

use crate::{
    event::{Event, invitation::InvitationEvent},
    state::{
        State,
        certificate::Certificate,
        invitation::{Invitation, InvitationUse},
    },
};

pub(super) fn apply(state: &mut State, event: &Event) {
    match event {
        Event::InvitationCreated {
            invitation,
            org,
            role,
            purpose,
            user,
            invitee,
            codes,
            created_by,
            at,
            expires_at,
            uses,
        } => {
            let row = Invitation {
                org: *org,
                role: *role,
                purpose: *purpose,
                user: *user,
                codes: codes.clone(),
                created_by: *created_by,
                created_at: *at,
                expires_at: *expires_at,
                uses_left: *uses,
                revoked_at: None,
                invitee: invitee.clone(),
                declined_at: None,
            };
            state.index.invitation_in(*invitation, &row);
            state.index.belongings.invitation_in(*invitation, &row);
            state.invitations.insert(*invitation, row);
        }
        Event::InvitationUsed {
            invitation,
            user,
            key,
            at,
        } => {
            if let Some(row) = state.invitations.get_mut(invitation) {
                state.index.belongings.invitation_out(*invitation, row);
                row.uses_left = row.uses_left.saturating_sub(1);
                state.index.belongings.invitation_in(*invitation, row);
            }
            let row = InvitationUse {
                user: *user,
                at: *at,
            };
            state.invitation_uses.insert((*invitation, *key), row);
        }
        Event::InvitationRevoked { invitation, at } => {
            if let Some(row) = state.invitations.get_mut(invitation) {
                state.index.belongings.invitation_out(*invitation, row);
                row.revoked_at = Some(*at);
            }
        }
        Event::Invitation(InvitationEvent::InvitationDeclined { invitation, at, .. }) => {
            if let Some(row) = state.invitations.get_mut(invitation) {
                row.declined_at = Some(*at);
            }
        }
        Event::CertificateIssued {
            serial,
            holder,
            device,
            key,
            at,
            expires_at,
        } => {
            let row = Certificate {
                holder: *holder,
                device: *device,
                key: *key,
                issued_at: *at,
                expires_at: *expires_at,
                superseded_until: None,
                revoked_at: None,
            };
            state.index.certificate_in(*serial, &row);
            state.certificates.insert(*serial, row);
            if let Some(row) = device.and_then(|device| state.devices.get_mut(&device)) {
                row.renewed_at = *at;
                row.expires_at = *expires_at;
            }
        }
        Event::CertificateSuperseded { serial, until } => {
            if let Some(row) = state.certificates.get_mut(serial) {
                row.superseded_until = Some(*until);
            }
        }
        Event::CertificateRevoked { serial, at } => {
            if let Some(row) = state.certificates.get_mut(serial) {
                row.revoked_at = Some(*at);
            }
        }
        _ => {}
    }
}
