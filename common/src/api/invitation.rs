//! Invitations as those see them who are invited: with an account that they have already.

use serde::{Deserialize, Serialize};

use super::page::Page;
use crate::{
    id::{InvitationId, OrgId},
    name::Name,
    org::InvitationStatus,
    status::Role,
    time::Timestamp,
};

/// What somebody with an account asks about an org that they are not in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum InvitationRequest {
    /// Invitations that are for the user who asks and wait, newest first.
    Mine {
        /// Only those after this one, for the next page.
        after: Option<InvitationId>,
    },
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
            Self::Mine { .. } => f.write_str("Mine"),
            Self::Accept { invitation } => write!(f, "Accept({invitation})"),
            Self::Decline { invitation } => write!(f, "Decline({invitation})"),
            Self::Join { .. } => f.write_str("Join"),
        }
    }
}

/// The answers to [`InvitationRequest`]; `Decline` is answered by `Done`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum InvitationAnswer {
    Mine(Page<PendingInvitation, InvitationId>),
    Joined(Joined),
}

/// An invitation that waits for the user who looks.
///
/// None for an address is among them, not even for a user who gives that address as theirs: nobody has verified it, and
/// an org's name and who invites into it are not for somebody who merely claims an address. Such an invitation is a
/// [`ShownInvitation`] to who has its link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingInvitation {
    pub id: InvitationId,
    pub org_name: Name,
    pub role: Role,
    pub created_by: Name,
    pub expires_at: Timestamp,
}

/// An invitation as whoever has its code or link sees it, before they take it or turn it down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownInvitation {
    pub id: InvitationId,
    pub org_name: Name,
    pub role: Role,
    /// Pending where it is for an address, whose reader may turn it down; else open.
    pub status: InvitationStatus,
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
