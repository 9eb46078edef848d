//! What can have happened to an API token.

use common::{
    id::{CodeDigest, OrgId, TokenId, UserId},
    name::Name,
    status::TokenScope,
    time::Timestamp,
};
use serde::Serialize;

use crate::state::rows::RowKey;

/// Something that happened to a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum TokenEvent {
    TokenCreated {
        token: TokenId,
        org: OrgId,
        user: UserId,
        name: Name,
        scope: TokenScope,
        #[serde(skip)]
        digest: CodeDigest,
        at: Timestamp,
        expires_at: Timestamp,
    },
    /// Somebody signed in with it, or renewed that.
    TokenUsed {
        token: TokenId,
        org: OrgId,
        at: Timestamp,
    },
    TokenRevoked {
        token: TokenId,
        org: OrgId,
        at: Timestamp,
    },
    /// It was good for nothing for a long time.
    TokenForgotten { token: TokenId, org: OrgId },
}

impl TokenEvent {
    pub(crate) const fn org(&self) -> OrgId {
        match self {
            Self::TokenCreated { org, .. }
            | Self::TokenUsed { org, .. }
            | Self::TokenRevoked { org, .. }
            | Self::TokenForgotten { org, .. } => *org,
        }
    }

    pub(super) fn touched(&self) -> Vec<RowKey> {
        match self {
            Self::TokenCreated { token, .. }
            | Self::TokenUsed { token, .. }
            | Self::TokenRevoked { token, .. }
            | Self::TokenForgotten { token, .. } => vec![RowKey::token(*token)],
        }
    }
}
