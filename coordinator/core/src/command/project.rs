//! What can be asked about projects.

use common::{
    api::project::{ArchiveProject, CreateProject, GrantAccess, RevokeAccess, SetProject},
    id::ProjectId,
};

/// A command about projects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectCommand {
    Create {
        project: ProjectId,
        request: CreateProject,
    },
    Grant(GrantAccess),
    Revoke(RevokeAccess),
    Set(SetProject),
    Archive(ArchiveProject),
}
