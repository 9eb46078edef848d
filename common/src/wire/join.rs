//! Enrolment: how somebody without a certificate gets one.

use serde::{Deserialize, Serialize};

use crate::{
    api::invitation::ShownInvitation,
    id::{MachineId, OrgId, UserId},
    join_link::LinkPurpose,
    name::Name,
    status::Role,
};

/// What a stranger may ask, one per stream.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinRequest {
    /// Uses a code or a link's secret. Asked again with the same key, the answer is the same.
    Enrol {
        secret: String,
        purpose: LinkPurpose,
        /// Wanted by who joins; ignored for a sign-in.
        handle: Option<Name>,
        /// PKCS #10, DER. Only its key counts.
        csr: Vec<u8>,
        /// What this computer is called.
        device: Name,
        /// For a sign-in of a user who has two-factor: the code of now, or a recovery code.
        code: Option<String>,
    },
    /// A registered machine asks for its certificate: first [`JoinAnswer::Waiting`] comes where it is not yet
    /// approved, then, on the same stream, the answer.
    ClaimMachine { machine: MachineId, csr: Vec<u8> },
    /// Uses an API token. The answer is [`JoinAnswer::Enrolled`].
    ExchangeToken {
        token: String,
        csr: Vec<u8>,
        device: Name,
    },
    /// Looks at an invitation without taking it. The answer is [`JoinAnswer::Invitation`].
    ShowInvitation { secret: String },
    /// Turns an invitation for an address down, for whoever reads its mail. Nobody is told who did: the answer is
    /// [`JoinAnswer::Declined`] also for a user who is signed in.
    DeclineInvitation { secret: String },
}

impl std::fmt::Debug for JoinRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Enrol { .. } => "Enrol",
            Self::ClaimMachine { .. } => "ClaimMachine",
            Self::ExchangeToken { .. } => "ExchangeToken",
            Self::ShowInvitation { .. } => "ShowInvitation",
            Self::DeclineInvitation { .. } => "DeclineInvitation",
        })
    }
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinAnswer {
    /// The user may act as a member from now on.
    Enrolled {
        user: UserId,
        handle: Name,
        org: OrgId,
        org_name: Name,
        role: Role,
        /// Leaf first, root last, DER.
        chain: Vec<Vec<u8>>,
    },
    /// An admin has to approve the machine first.
    Waiting { org_name: Name, name: Name },
    /// The machine may take jobs from now on.
    Approved {
        org_name: Name,
        name: Name,
        chain: Vec<Vec<u8>>,
    },
    /// What the code or link lets into; it is still good.
    Invitation(ShownInvitation),
    /// It is declined.
    Declined { org_name: Name },
}
