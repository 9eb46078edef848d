//! Invitations and certificates.

use common::id::{Fingerprint, InvitationId};

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
            reset,
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
                reset: *reset,
                codes: codes.clone(),
                created_by: *created_by,
                created_at: *at,
                expires_at: *expires_at,
                uses_left: *uses,
                revoked_at: None,
                invitee: invitee.clone(),
                declined_at: None,
                used_up_at: None,
            };
            state.index.invitation_in(*invitation, &row);
            state.invitations.insert(*invitation, row);
        }
        Event::InvitationUsed {
            invitation,
            user,
            key,
            at,
        } => {
            change(state, *invitation, |row| {
                row.uses_left = row.uses_left.saturating_sub(1);
                if row.uses_left == 0 {
                    row.used_up_at = Some(*at);
                }
            });
            let row = InvitationUse {
                user: *user,
                at: *at,
            };
            state.invitation_uses.insert((*invitation, *key), row);
        }
        Event::InvitationRevoked { invitation, at } => {
            change(state, *invitation, |row| row.revoked_at = Some(*at));
        }
        Event::Invitation(InvitationEvent::InvitationDeclined { invitation, at, .. }) => {
            change(state, *invitation, |row| row.declined_at = Some(*at));
        }
        Event::Invitation(InvitationEvent::InvitationUsesForgotten {
            invitation, keys, ..
        }) => forget_uses(state, *invitation, keys),
        Event::Invitation(InvitationEvent::InvitationForgotten {
            invitation, keys, ..
        }) => {
            forget_uses(state, *invitation, keys);
            if let Some(row) = state.invitations.remove(invitation) {
                state.index.invitation_out(*invitation, &row);
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

/// Changes a row, and with it what the index keeps of it.
fn change(state: &mut State, id: InvitationId, change: impl FnOnce(&mut Invitation)) {
    if let Some(row) = state.invitations.get_mut(&id) {
        state.index.invitation_out(id, row);
        change(row);
        state.index.invitation_in(id, row);
    }
}

fn forget_uses(state: &mut State, invitation: InvitationId, keys: &[Fingerprint]) {
    for key in keys {
        state.invitation_uses.remove(&(invitation, *key));
    }
}
