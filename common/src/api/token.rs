//! API tokens: making, listing, revoking.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::page::Page;
use crate::{
    id::{Fingerprint, OrgId, TokenId},
    name::Name,
    status::TokenScope,
    time::{Span, Timestamp},
    token::TokenView,
};

/// What a user asks about their own tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenRequest {
    Create(CreateToken),
    /// Newest first.
    List {
        org: OrgId,
        /// Only those after this one, for the next page.
        after: Option<TokenId>,
    },
    /// Everything that was signed in with it is signed out at once.
    Revoke {
        org: OrgId,
        /// Its name or id.
        token: Name,
    },
}

/// Makes a token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateToken {
    pub org: OrgId,
    pub name: Name,
    pub scope: TokenScope,
    pub ttl: Span,
    /// For the scope `admin`, where the user has two-factor.
    pub code: Option<String>,
}

impl fmt::Debug for CreateToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateToken")
            .field("name", &self.name)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenAnswer {
    Created(CreatedToken),
    Tokens(Page<TokenView, TokenId>),
}

/// A new token. It is shown once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedToken {
    pub id: TokenId,
    pub secret: String,
    pub expires_at: Timestamp,
    /// Of the coordinator's root certificate, which the link carries.
    pub fingerprint: Fingerprint,
}

impl fmt::Debug for CreatedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedToken")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
