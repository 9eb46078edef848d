//! Invitations and sign-in links as rows. Codes are kept as digests only.

use common::{
    id::{CodeDigest, OrgId, UserId},
    join_link::LinkPurpose,
    org::InvitationStatus,
    profile::Email,
    status::Role,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// Whom an invitation is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guest {
    /// Takes it with their account; it has no code.
    User(UserId),
    /// Whoever has the code that was sent there takes it.
    Email(Email),
}

/// A code or link that lets somebody in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Invitation {
    pub(crate) org: OrgId,
    pub(crate) role: Role,
    pub(crate) purpose: LinkPurpose,
    /// Whom a sign-in link is for.
    pub(crate) user: Option<UserId>,
    /// Its first use takes away what they would have to show besides.
    #[serde(default)]
    pub(crate) reset: bool,
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
    /// When the last use was taken.
    #[serde(default)]
    pub(crate) used_up_at: Option<Timestamp>,
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

    /// Returns when it lets nobody in any more: when it expires, or what came before that.
    pub(crate) fn ends_at(&self) -> Timestamp {
        // Rows of older versions do not know when the last use was taken.
        let used_up = (self.uses_left == 0).then(|| self.used_up_at.unwrap_or(self.created_at));
        [self.revoked_at, self.declined_at, used_up]
            .into_iter()
            .flatten()
            .fold(self.expires_at, Timestamp::min)
    }
}

/// Who came in by an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InvitationUse {
    pub(crate) user: UserId,
    pub(crate) at: Timestamp,
}
