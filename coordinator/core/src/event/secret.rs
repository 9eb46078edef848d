//! What can have happened to secrets. No value is in any of it, sealed or not, as far as the trail goes.

use common::{
    id::{OrgId, ProjectId, SecretId, UserId},
    seal::Sealed,
    secret::{SecretKind, SecretName},
    time::Timestamp,
};
use serde::Serialize;

use crate::state::{rows::RowKey, secret::SecretUsers};

/// Something that happened to a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum SecretEvent {
    SecretSet {
        secret: SecretId,
        org: OrgId,
        project: Option<ProjectId>,
        name: SecretName,
        kind: SecretKind,
        /// From 1.
        version: u32,
        #[serde(skip)]
        value: Sealed,
        masked: bool,
        by: UserId,
        at: Timestamp,
    },
    SecretUsersChanged {
        secret: SecretId,
        org: OrgId,
        before: SecretUsers,
        after: SecretUsers,
    },
    SecretDeleted {
        secret: SecretId,
        org: OrgId,
        project: Option<ProjectId>,
        name: SecretName,
    },
}

impl SecretEvent {
    /// Returns the rows to write again (or delete) once the event is applied.
    pub(super) fn touched(&self) -> Vec<RowKey> {
        match self {
            Self::SecretSet { secret, .. }
            | Self::SecretUsersChanged { secret, .. }
            | Self::SecretDeleted { secret, .. } => vec![RowKey::secret(*secret)],
        }
    }

    pub(crate) const fn org(&self) -> OrgId {
        match self {
            Self::SecretSet { org, .. }
            | Self::SecretUsersChanged { org, .. }
            | Self::SecretDeleted { org, .. } => *org,
        }
    }
}
