//! What happens to invitations that are for somebody, and to those that ended a long time ago.

use common::{
    id::{Fingerprint, InvitationId, OrgId, UserId},
    time::Timestamp,
};
use serde::Serialize;

use crate::state::rows::RowKey;

/// See the module. Being made, used and revoked are told beside those of sign-in links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum InvitationEvent {
    InvitationDeclined {
        invitation: InvitationId,
        /// Whom it was for, where that is a user; of others who had its code, nobody is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
        at: Timestamp,
    },
    /// Some of those who came in by an invitation that ended long ago, too many for one step.
    InvitationUsesForgotten {
        invitation: InvitationId,
        org: OrgId,
        /// With which they came in.
        #[serde(skip)]
        keys: Vec<Fingerprint>,
    },
    /// It ended long ago, and with it the rest of those who came in by it are forgotten.
    InvitationForgotten {
        invitation: InvitationId,
        org: OrgId,
        #[serde(skip)]
        keys: Vec<Fingerprint>,
    },
}

impl InvitationEvent {
    pub(super) fn touched(&self) -> Vec<RowKey> {
        let uses = |invitation: &InvitationId, keys: &[Fingerprint]| -> Vec<RowKey> {
            let rows = keys
                .iter()
                .map(|key| RowKey::invitation_use(*invitation, *key));
            rows.collect()
        };
        match self {
            Self::InvitationDeclined { invitation, .. } => vec![RowKey::invitation(*invitation)],
            Self::InvitationUsesForgotten {
                invitation, keys, ..
            } => uses(invitation, keys),
            Self::InvitationForgotten {
                invitation, keys, ..
            } => {
                let mut rows = uses(invitation, keys);
                rows.push(RowKey::invitation(*invitation));
                rows
            }
        }
    }
}
