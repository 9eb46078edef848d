//! What can be asked about invitations.

use common::{
    id::{CodeDigest, Fingerprint, InvitationId, OrgId},
    invitee::Invitee,
    status::Role,
    time::Span,
};

/// What is asked, by a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvitationCommand {
    Create(CreateInvitations),
    /// Burns one use of a code for the account that asks; `key` is of the device that it asks with.
    Join {
        code: CodeDigest,
        key: Fingerprint,
    },
    /// Takes an invitation that is for the account that asks.
    Accept {
        invitation: InvitationId,
        key: Fingerprint,
    },
    Decline {
        invitation: InvitationId,
    },
}

/// Makes all of the batch, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateInvitations {
    pub org: OrgId,
    pub role: Role,
    pub ttl: Span,
    /// How many people each lets in.
    pub uses: u32,
    pub invitee: Option<Invitee>,
    pub batch: Vec<NewInvitation>,
}

/// One of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInvitation {
    pub id: InvitationId,
    /// The short code's and the link secret's; either lets in. None where a user is invited, who needs no code.
    pub codes: Vec<CodeDigest>,
}
