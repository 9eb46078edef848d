//! A user's own account: how others see it, the devices it is signed in on, and what protects it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    id::{DeviceId, OrgId, UserId},
    name::Name,
    profile::{DisplayName, Email},
    time::Timestamp,
};

/// What a user asks about an account, their own unless it says otherwise.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountRequest {
    Show,
    /// What is `None` stays as it is, what is empty is no more.
    ChangeProfile {
        display_name: Option<String>,
        email: Option<String>,
    },
    ListDevices {
        of: Option<MemberRef>,
    },
    /// Every connection that was opened with its certificates is closed at once, this one too if it is its own.
    RevokeDevice {
        of: Option<MemberRef>,
        /// Its name or id; `None` is the device that asks.
        device: Option<Name>,
    },
    /// Where there is a password or two-factor, it takes a proof.
    SetPassword {
        password: String,
        proof: Option<Proof>,
    },
    /// Answered by [`AccountAnswer::TwoFactorBegun`]; nothing is protected before it is confirmed.
    BeginTwoFactor,
    /// Answered by [`AccountAnswer::RecoveryCodes`].
    ConfirmTwoFactor {
        code: String,
    },
    StopTwoFactor {
        proof: Option<Proof>,
    },
    /// Makes the old ones useless. Answered by [`AccountAnswer::RecoveryCodes`].
    NewRecoveryCodes {
        proof: Option<Proof>,
    },
    /// Makes every sign-in link useless that was made for them and not used.
    RevokeLinks {
        of: Option<MemberRef>,
    },
}

/// What shows that it is the user who asks, and not somebody at their computer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proof {
    /// The present one.
    Password(String),
    /// Of two-factor: the code of now, or a recovery code.
    Code(String),
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password",
            Self::Code(_) => "Code",
        })
    }
}

/// A sign-in link for one more computer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateLoginLink {
    pub org: OrgId,
    /// Whom it signs in; `None` is the user who asks. An admin asks for members who are in no other org.
    pub user: Option<Name>,
    /// Its first use takes their password and two-factor away, which were lost. Of others only.
    pub reset: bool,
}

/// Another member, whom an admin of the org asks about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRef {
    pub org: OrgId,
    pub handle: Name,
}

/// Says which request it is and nothing that was typed in.
impl fmt::Debug for AccountRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Show => "Show",
            Self::ChangeProfile { .. } => "ChangeProfile",
            Self::ListDevices { .. } => "ListDevices",
            Self::RevokeDevice { .. } => "RevokeDevice",
            Self::SetPassword { .. } => "SetPassword",
            Self::BeginTwoFactor => "BeginTwoFactor",
            Self::ConfirmTwoFactor { .. } => "ConfirmTwoFactor",
            Self::StopTwoFactor { .. } => "StopTwoFactor",
            Self::NewRecoveryCodes { .. } => "NewRecoveryCodes",
            Self::RevokeLinks { .. } => "RevokeLinks",
        })
    }
}

/// What comes back.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountAnswer {
    Account(AccountView),
    /// Newest sign-in first.
    Devices(Vec<DeviceView>),
    /// Shown once.
    TwoFactorBegun {
        /// `otpauth://…`, which apps read.
        uri: String,
        /// The same in base 32, for typing in.
        secret: String,
    },
    /// Shown once; each is good once.
    RecoveryCodes(Vec<String>),
}

impl fmt::Debug for AccountAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(view) => f.debug_tuple("Account").field(view).finish(),
            Self::Devices(views) => f.debug_tuple("Devices").field(views).finish(),
            Self::TwoFactorBegun { .. } => f.write_str("TwoFactorBegun"),
            Self::RecoveryCodes(_) => f.write_str("RecoveryCodes"),
        }
    }
}

/// An account as its user sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    pub user: UserId,
    pub handle: Name,
    pub display_name: Option<DisplayName>,
    /// Nobody has checked that it is theirs.
    pub email: Option<Email>,
    pub has_password: bool,
    pub two_factor: Option<TwoFactorView>,
}

/// Two-factor that is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwoFactorView {
    pub since: Timestamp,
    pub recovery_codes_left: u32,
}

/// A computer on which a user is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceView {
    pub id: DeviceId,
    pub name: Name,
    pub signed_in_at: Timestamp,
    /// When its certificate was last renewed, or issued.
    pub renewed_at: Timestamp,
    /// Of its newest certificate, which renews itself while the device is used.
    pub expires_at: Timestamp,
    /// Whether it is the device that asks.
    pub current: bool,
}
