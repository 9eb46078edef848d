//! What users do with their own accounts.

use std::fmt;

use common::{
    api::account::MemberRef,
    id::{CodeDigest, DeviceId, UserId},
    name::Name,
    seal::Sealed,
};

pub use crate::state::account::PasswordHash;

/// A command of a user about an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountCommand {
    ChangeProfile {
        display_name: Option<String>,
        email: Option<String>,
    },
    RevokeDevice {
        of: Option<MemberRef>,
        /// Its name or id; `None` is `from`.
        device: Option<Name>,
        /// The device that asks.
        from: Option<DeviceId>,
    },
    /// Sign-in links that were not used.
    RevokeLinks {
        of: Option<MemberRef>,
    },
    /// Takes a proof where there is a password or two-factor.
    SetPassword {
        hash: PasswordHash,
        proof: Option<Proof>,
    },
    /// The secret was shown; it protects nothing before a code of it was typed in.
    BeginTwoFactor {
        secret: Sealed,
    },
    /// A code of the secret that was begun was right.
    ConfirmTwoFactor {
        secret: Sealed,
        step: u64,
        recovery: Vec<CodeDigest>,
    },
    StopTwoFactor {
        proof: Option<Proof>,
    },
    /// Makes the old recovery codes useless.
    NewRecoveryCodes {
        recovery: Vec<CodeDigest>,
        proof: Option<Proof>,
    },
}

/// Says that somebody is about to be believed: counted before it is looked at, so that many at once are not more
/// than one after the other. System only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TryProof {
    pub user: UserId,
}

/// What the shell has found to be right, as far as it can tell; what was used up meanwhile is found here.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// The password of this hash.
    Password(PasswordHash),
    /// A code of the two-factor secret.
    Code { secret: Sealed, step: u64 },
    /// What may be a recovery code.
    Recovery(CodeDigest),
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password",
            Self::Code { .. } => "Code",
            Self::Recovery(_) => "Recovery",
        })
    }
}

/// The computer that somebody signs in on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// Of a computer that is not known yet.
    pub fresh_device: DeviceId,
    /// What the computer is called. Where another device of the user has the name, a number is put behind it.
    pub name: Name,
    /// For a user who has two-factor.
    pub proof: Option<Proof>,
}
