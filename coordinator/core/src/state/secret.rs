//! Secrets as rows.

use std::collections::BTreeSet;

use common::{
    id::{OrgId, ProjectId, UserId},
    seal::Sealed,
    secret::{SecretKind, SecretName},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// A name and what is sealed under it. What opens it is not in the book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Secret {
    pub(crate) org: OrgId,
    /// Whose jobs alone use it.
    pub(crate) project: Option<ProjectId>,
    pub(crate) name: SecretName,
    pub(crate) kind: SecretKind,
    pub(crate) version: u32,
    /// As the member's program sealed it, for [`common::secret::sealing_context`].
    pub(crate) value: Sealed,
    pub(crate) masked: bool,
    pub(crate) set_by: UserId,
    pub(crate) set_at: Timestamp,
    pub(crate) users: SecretUsers,
}

/// Whose jobs may use a secret of the org's own, besides those of its admins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretUsers {
    pub everyone: bool,
    pub members: BTreeSet<UserId>,
    pub projects: BTreeSet<ProjectId>,
}
