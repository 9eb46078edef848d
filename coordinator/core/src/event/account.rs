//! What can have happened to a user's account.

use common::{
    id::{CertificateSerial, CodeDigest, DeviceId, Fingerprint, OrgId, TokenId, UserId},
    name::Name,
    seal::Sealed,
    status::AuditKind,
    time::Timestamp,
};
use serde::Serialize;

use crate::state::{account::PasswordHash, rows::RowKey};

pub use crate::state::org::Profile;

/// Something that happened to an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum AccountEvent {
    ProfileChanged {
        user: UserId,
        before: Profile,
        after: Profile,
    },
    /// Followed by the device's first certificate.
    DeviceSignedIn {
        device: DeviceId,
        user: UserId,
        name: Name,
        key: Fingerprint,
        /// That it signed in with.
        #[serde(skip_serializing_if = "Option::is_none")]
        token: Option<TokenId>,
        /// Where alone it speaks for the user.
        #[serde(skip_serializing_if = "Option::is_none")]
        bound: Option<OrgId>,
        at: Timestamp,
    },
    /// Its certificates are revoked with it.
    DeviceRevoked {
        device: DeviceId,
        user: UserId,
        at: Timestamp,
    },
    /// It could not be used any more for a long time.
    DeviceForgotten {
        device: DeviceId,
        user: UserId,
        certificates: Vec<CertificateSerial>,
    },
    /// They could not be used any more for a long time.
    CertificatesForgotten {
        device: DeviceId,
        user: UserId,
        certificates: Vec<CertificateSerial>,
    },
    /// Somebody tries to show that they are the user; what comes of it follows.
    ProofTried {
        user: UserId,
        at: Timestamp,
    },
    /// They are.
    ProofAccepted {
        user: UserId,
        with: ProofKind,
        #[serde(skip)]
        used: Option<Used>,
        at: Timestamp,
    },
    PasswordSet {
        user: UserId,
        #[serde(skip)]
        hash: PasswordHash,
        at: Timestamp,
    },
    TwoFactorBegun {
        user: UserId,
        #[serde(skip)]
        secret: Sealed,
        at: Timestamp,
    },
    TwoFactorTurnedOn {
        user: UserId,
        #[serde(skip)]
        secret: Sealed,
        #[serde(skip)]
        step: u64,
        #[serde(skip)]
        recovery: Vec<CodeDigest>,
        at: Timestamp,
    },
    TwoFactorTurnedOff {
        user: UserId,
        at: Timestamp,
    },
    RecoveryCodesMade {
        user: UserId,
        #[serde(skip)]
        recovery: Vec<CodeDigest>,
        at: Timestamp,
    },
    /// Somebody else took their password and two-factor away, for they were lost.
    CredentialsReset {
        user: UserId,
        at: Timestamp,
    },
}

/// What was believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProofKind {
    Password,
    Code,
    RecoveryCode,
}

/// What is not good a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Used {
    Step(u64),
    Recovery(CodeDigest),
}

impl AccountEvent {
    pub(crate) const fn user(&self) -> UserId {
        match self {
            Self::ProfileChanged { user, .. }
            | Self::DeviceSignedIn { user, .. }
            | Self::DeviceRevoked { user, .. }
            | Self::DeviceForgotten { user, .. }
            | Self::CertificatesForgotten { user, .. }
            | Self::ProofTried { user, .. }
            | Self::ProofAccepted { user, .. }
            | Self::PasswordSet { user, .. }
            | Self::TwoFactorBegun { user, .. }
            | Self::TwoFactorTurnedOn { user, .. }
            | Self::TwoFactorTurnedOff { user, .. }
            | Self::RecoveryCodesMade { user, .. }
            | Self::CredentialsReset { user, .. } => *user,
        }
    }

    pub(crate) const fn audit_kind(&self) -> AuditKind {
        match self {
            Self::ProfileChanged { .. } => AuditKind::Member,
            Self::DeviceSignedIn { .. }
            | Self::DeviceRevoked { .. }
            | Self::ProofTried { .. }
            | Self::ProofAccepted { .. }
            | Self::PasswordSet { .. }
            | Self::TwoFactorBegun { .. }
            | Self::TwoFactorTurnedOn { .. }
            | Self::TwoFactorTurnedOff { .. }
            | Self::RecoveryCodesMade { .. }
            | Self::CredentialsReset { .. } => AuditKind::Device,
            Self::DeviceForgotten { .. } | Self::CertificatesForgotten { .. } => {
                AuditKind::Connection
            }
        }
    }

    pub(super) fn touched(&self) -> Vec<RowKey> {
        let certificate = |serial: &CertificateSerial| RowKey::certificate(*serial);
        match self {
            Self::ProfileChanged { user, .. } => vec![RowKey::user(*user)],
            Self::ProofTried { user, .. }
            | Self::ProofAccepted { user, .. }
            | Self::PasswordSet { user, .. }
            | Self::TwoFactorBegun { user, .. }
            | Self::TwoFactorTurnedOn { user, .. }
            | Self::TwoFactorTurnedOff { user, .. }
            | Self::RecoveryCodesMade { user, .. }
            | Self::CredentialsReset { user, .. } => vec![RowKey::credentials(*user)],
            Self::DeviceSignedIn { device, .. } | Self::DeviceRevoked { device, .. } => {
                vec![RowKey::device(*device)]
            }
            Self::DeviceForgotten {
                device,
                certificates,
                ..
            } => {
                let certificates = certificates.iter().map(certificate);
                certificates.chain([RowKey::device(*device)]).collect()
            }
            Self::CertificatesForgotten { certificates, .. } => {
                certificates.iter().map(certificate).collect()
            }
        }
    }
}
