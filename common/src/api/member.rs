//! People and their machines: sign-in, invitations, registration.

use serde::{Deserialize, Serialize};

use crate::{
    id::{DeviceId, Fingerprint, InvitationId, MachineId, OrgId, UserId},
    invitee::Invitee,
    name::Name,
    org::MembershipView,
    profile::{DisplayName, Email},
    status::{Role, TokenScope},
    time::{Span, Timestamp},
};

/// Who asks, as the coordinator sees them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoAmI {
    pub user: UserId,
    pub handle: Name,
    pub orgs: Vec<MembershipView>,
    pub certificate_expires_at: Timestamp,
    pub coordinator_version: String,
    /// Public key that secrets for the coordinator are sealed with; see [`crate::seal`].
    #[serde(with = "crate::seal::hex")]
    pub sealing_key: Vec<u8>,
    /// Invitations to other orgs that wait for this user.
    pub pending_invitations: u32,
    pub display_name: Option<DisplayName>,
    pub email: Option<Email>,
    /// The device that asks.
    pub device: Option<DeviceId>,
    pub two_factor: bool,
    /// Where it is a program with an API token that asks: how far it may go.
    pub scope: Option<TokenScope>,
}

/// Makes invitations to an org.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateInvitations {
    pub org: OrgId,
    pub role: Role,
    pub ttl: Span,
    /// How many people each lets in.
    pub uses: u32,
    /// How many are made.
    pub count: u32,
    /// Whom it is for; `None` is whoever has the code.
    pub invitee: Option<Invitee>,
}

/// A new invitation. Its two secrets are shown once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invited {
    pub id: InvitationId,
    /// What lets in whoever has it; an invitation for a user has none.
    pub secrets: Option<InvitationSecrets>,
    pub expires_at: Timestamp,
    /// Of the org's root certificate, which the link carries.
    pub fingerprint: Fingerprint,
}

/// Either lets in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationSecrets {
    /// `XXXX-XXXX-XXXX`, for reading aloud.
    pub code: String,
    /// 128 bits, for the link.
    pub secret: String,
}

impl std::fmt::Debug for InvitationSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InvitationSecrets")
    }
}

impl std::fmt::Debug for Invited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invited")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Offers this computer to an org. The key was made on the machine and stays there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterMachine {
    pub org: OrgId,
    pub name: Name,
    /// Of the machine's public key; only a certificate request by that key is ever signed.
    pub key: Fingerprint,
}

/// A machine that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    pub machine: MachineId,
    /// Whether it may take jobs already; else it waits for an admin.
    pub approved: bool,
}
