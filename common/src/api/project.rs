//! Projects: make, look, grant, restrict, archive.

use serde::{Deserialize, Serialize};

use super::page::Page;
use crate::{
    id::OrgId,
    name::Name,
    project::{Grantee, ProjectView, Restrictions},
    status::{Access, CopyOut, DeleteBy, DownloadBy},
};

/// One question or command about projects. Commands are answered by the project as it is then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProjectRequest {
    Create(CreateProject),
    /// Those that the caller may see, by name.
    List {
        org: OrgId,
        /// Archived ones too.
        archived: bool,
        /// Only those after this one, for the next page.
        after: Option<Name>,
    },
    Show {
        org: OrgId,
        name: Name,
    },
    Grant(GrantAccess),
    Revoke(RevokeAccess),
    Set(SetProject),
    Archive(ArchiveProject),
}

/// The answer to a [`ProjectRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProjectAnswer {
    One(Box<ProjectView>),
    List(Page<ProjectView, Name>),
    /// It was done, and the caller sees the project no more.
    Gone,
}

/// Makes a project, which whoever asks administers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateProject {
    pub org: OrgId,
    pub name: Name,
    pub description: String,
    pub restrictions: Restrictions,
}

/// Gives access, or another one than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantAccess {
    pub org: OrgId,
    pub name: Name,
    pub to: Grantee,
    pub access: Access,
}

/// Takes access back. What runs already runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeAccess {
    pub org: OrgId,
    pub name: Name,
    pub from: Grantee,
}

/// Changes what is `Some`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetProject {
    pub org: OrgId,
    pub name: Name,
    pub description: Option<String>,
    pub copy_out: Option<CopyOut>,
    pub delete: Option<DeleteBy>,
    pub download: Option<DownloadBy>,
}

/// Puts a project to rest: it can be looked at, and nothing new happens in it. Or wakes it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveProject {
    pub org: OrgId,
    pub name: Name,
    /// `false` takes it out of the archive.
    pub archived: bool,
}
