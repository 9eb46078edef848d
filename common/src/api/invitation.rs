//! Invitations as those see them who are invited: with an account that they have already.

use serde::{Deserialize, Serialize};

use crate::{
    id::{InvitationId, OrgId},
    name::Name,
    status::Role,
    time::Timestamp,
};

/// What somebody with an account asks about an org that they are not in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum InvitationRequest {
    /// Invitations that are for the user who asks and wait.
    Mine,
    /// Takes one of these.
    Accept {
        invitation: InvitationId,
    },
    Decline {
        invitation: InvitationId,
    },
    /// Joins with a code or a link's secret, with the account of the user who asks.
    Join {
        secret: String,
    },
}

/// Without the secret.
impl std::fmt::Debug for InvitationRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mine => f.write_str("Mine"),
            Self::Accept { invitation } => write!(f, "Accept({invitation})"),
            Self::Decline { invitation } => write!(f, "Decline({invitation})"),
            Self::Join { .. } => f.write_str("Join"),
        }
    }
}

/// The answers to [`InvitationRequest`]; `Decline` is answered by `Done`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum InvitationAnswer {
    Mine(Vec<PendingInvitation>),
    Joined(Joined),
}

/// An invitation that waits for the user who looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingInvitation {
    pub id: InvitationId,
    pub org_name: Name,
    pub role: Role,
    pub created_by: Name,
    pub expires_at: Timestamp,
}

/// An org that a user has come into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    pub org: OrgId,
    pub org_name: Name,
    pub role: Role,
}
