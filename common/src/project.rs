//! Projects: shared spaces in an org, each with its own ladder of access.

use serde::{Deserialize, Serialize};

use crate::{
    id::ProjectId,
    name::Name,
    status::{Access, CopyOut, DeleteBy, DownloadBy},
    time::Timestamp,
};

/// Longest description, in bytes.
pub const MAX_DESCRIPTION_BYTES: usize = 1024;
/// Most projects of one org, archived ones included.
pub const MAX_PROJECTS: usize = 10_000;
/// Most members who have access to one project by name; the whole org needs no more than one grant.
pub const MAX_GRANTS: usize = 1000;

/// What people write for no project, so that none is called so.
pub const NO_PROJECT: &str = "none";

/// What administrators of a project keep its members from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restrictions {
    /// Whether its data may be used by jobs outside it.
    pub copy_out: CopyOut,
    /// Who may delete its datasets, and move them elsewhere.
    pub delete: DeleteBy,
    /// Who may take data and files to a computer of their own.
    pub download: DownloadBy,
}

impl Default for Restrictions {
    /// Returns none at all.
    fn default() -> Self {
        Self {
            copy_out: CopyOut::All,
            delete: DeleteBy::Contributors,
            download: DownloadBy::All,
        }
    }
}

/// Whom access is granted to. A project is none of these, so that grants cannot go in a circle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grantee {
    Member(Name),
    /// Every member of the org, now and later.
    Everyone,
}

/// A project as a member sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectView {
    pub id: ProjectId,
    pub name: Name,
    pub description: String,
    pub created_by: Name,
    pub created_at: Timestamp,
    /// Set where nothing new happens in it any more.
    pub archived_at: Option<Timestamp>,
    pub restrictions: Restrictions,
    /// Of whoever asks.
    pub access: Access,
    /// Of every member of the org.
    pub everyone: Option<Access>,
    /// By handle; empty in a list.
    pub grants: Vec<GrantView>,
}

/// What one member may do in a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantView {
    pub member: Name,
    pub access: Access,
    pub granted_by: Name,
    pub granted_at: Timestamp,
}
