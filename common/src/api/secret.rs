//! Secrets: set, look, say who may use them, delete.

use serde::{Deserialize, Serialize};

use super::page::Page;
use crate::{
    id::{OrgId, ProjectId},
    name::Name,
    seal::Sealed,
    secret::{SecretKind, SecretName, SecretUser, SecretView},
};

/// One question or command about secrets. `project` is that whose secret it is; `None` is the org's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretRequest {
    Set(SetSecret),
    /// Those that the caller may use or change: the org's own by name, then those of projects.
    List {
        org: OrgId,
        /// Only those after this one, for the next page.
        after: Option<SecretPlace>,
    },
    Allow(AllowSecret),
    Delete {
        org: OrgId,
        project: Option<Name>,
        name: SecretName,
    },
}

/// Where a secret stands in the list of an org.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretPlace {
    /// Whose it is; `None` is the org's own.
    pub project: Option<ProjectId>,
    pub name: SecretName,
}

/// The answer to a [`SecretRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretAnswer {
    One(SecretView),
    List(Page<SecretView, SecretPlace>),
    Deleted,
}

/// Makes a secret, or gives the one that is there another value: attempts that start later get that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetSecret {
    pub org: OrgId,
    pub project: Option<Name>,
    pub name: SecretName,
    pub kind: SecretKind,
    /// For the coordinator's sealing key and [`crate::secret::sealing_context`].
    pub value: Sealed,
}

/// Says whose jobs may use a secret of the org's own, besides those of its admins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowSecret {
    pub org: OrgId,
    pub name: SecretName,
    pub change: UsersChange,
}

/// How the users of a secret change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsersChange {
    Allow(SecretUser),
    Disallow(SecretUser),
    /// Everybody else is disallowed.
    AdminsOnly,
}
