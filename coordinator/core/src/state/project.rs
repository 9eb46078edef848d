//! Projects and grants as rows.

use common::{
    id::{OrgId, UserId},
    name::Name,
    project::Restrictions,
    status::Access,
    time::Timestamp,
    weight::Weight,
};
use serde::{Deserialize, Serialize};

/// A shared space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Project {
    pub(crate) org: OrgId,
    pub(crate) name: Name,
    pub(crate) description: String,
    pub(crate) created_by: UserId,
    pub(crate) created_at: Timestamp,
    pub(crate) archived_at: Option<Timestamp>,
    pub(crate) restrictions: Restrictions,
    /// What every member of the org may.
    pub(crate) everyone: Option<Access>,
    /// How soon its jobs come beside others of their members.
    #[serde(default)]
    pub(crate) weight: Weight,
}

/// What one member may in one project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) access: Access,
    pub(crate) by: UserId,
    pub(crate) at: Timestamp,
}
