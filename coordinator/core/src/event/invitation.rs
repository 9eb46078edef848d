//! What happens to invitations that are for somebody.

use common::{
    id::{InvitationId, UserId},
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
        user: UserId,
        at: Timestamp,
    },
}

impl InvitationEvent {
    pub(super) fn touched(&self) -> Vec<RowKey> {
        match self {
            Self::InvitationDeclined { invitation, .. } => vec![RowKey::invitation(*invitation)],
        }
    }
}
