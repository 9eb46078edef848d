//! What users do with API tokens, and programs with them.

use common::{
    id::{CodeDigest, OrgId, TokenId},
    name::Name,
    status::TokenScope,
    time::Span,
};

use super::{NewCertificate, SignIn, account::Proof};

/// A command of a user about their tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenCommand {
    Create {
        token: TokenId,
        org: OrgId,
        name: Name,
        scope: TokenScope,
        ttl: Span,
        digest: CodeDigest,
        /// For the scope `admin`, where the user has two-factor.
        proof: Option<Proof>,
    },
    Revoke {
        org: OrgId,
        /// Its name or id.
        named: Name,
    },
}

/// Stranger. A program signs in with a token; the certificate is good no longer than it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeToken {
    pub digest: CodeDigest,
    pub sign_in: SignIn,
    pub certificate: NewCertificate,
}
