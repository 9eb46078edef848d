//! What can have happened to a user's account.

use common::{
    id::{CertificateSerial, DeviceId, Fingerprint, UserId},
    name::Name,
    status::AuditKind,
    time::Timestamp,
};
use serde::Serialize;

use crate::state::rows::RowKey;

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
}

impl AccountEvent {
    pub(crate) const fn user(&self) -> UserId {
        match self {
            Self::ProfileChanged { user, .. }
            | Self::DeviceSignedIn { user, .. }
            | Self::DeviceRevoked { user, .. }
            | Self::DeviceForgotten { user, .. }
            | Self::CertificatesForgotten { user, .. } => *user,
        }
    }

    pub(crate) const fn audit_kind(&self) -> AuditKind {
        match self {
            Self::ProfileChanged { .. } => AuditKind::Member,
            Self::DeviceSignedIn { .. } | Self::DeviceRevoked { .. } => AuditKind::Device,
            Self::DeviceForgotten { .. } | Self::CertificatesForgotten { .. } => {
                AuditKind::Connection
            }
        }
    }

    pub(super) fn touched(&self) -> Vec<RowKey> {
        let certificate = |serial: &CertificateSerial| RowKey::certificate(*serial);
        match self {
            Self::ProfileChanged { user, .. } => vec![RowKey::user(*user)],
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
