//! Invitations and sign-in links as rows. Codes are kept as digests only.

use common::{
    id::{CodeDigest, OrgId, UserId},
    join_link::LinkPurpose,
    org::InvitationStatus,
    status::Role,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// Whom an invitation is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guest {
    User(UserId),
}

/// A code or link that lets somebody in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Invitation {
    pub(crate) org: OrgId,
    pub(crate) role: Role,
    pub(crate) purpose: LinkPurpose,
    /// Whom a sign-in link is for.
    pub(crate) user: Option<UserId>,
    pub(crate) codes: Vec<CodeDigest>,
    pub(crate) created_by: UserId,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) uses_left: u32,
    pub(crate) revoked_at: Option<Timestamp>,
    /// Whom an invitation is for; `None` is whoever has a code.
    #[serde(default)]
    pub(crate) invitee: Option<Guest>,
    #[serde(default)]
    pub(crate) declined_at: Option<Timestamp>,
}

impl Invitation {
    pub(crate) fn status(&self, now: Timestamp) -> InvitationStatus {
        if self.revoked_at.is_some() {
            InvitationStatus::Revoked
        } else if self.declined_at.is_some() {
            InvitationStatus::Declined
        } else if self.uses_left == 0 {
            if self.invitee.is_some() {
                InvitationStatus::Accepted
            } else {
                InvitationStatus::Used
            }
        } else if now >= self.expires_at {
            InvitationStatus::Expired
        } else if self.invitee.is_some() {
            InvitationStatus::Pending
        } else {
            InvitationStatus::Open
        }
    }
}

/// Who came in by an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InvitationUse {
    pub(crate) user: UserId,
    pub(crate) at: Timestamp,
}
