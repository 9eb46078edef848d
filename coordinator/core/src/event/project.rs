//! What can have happened to projects.

use common::{
    id::{OrgId, ProjectId, UserId},
    name::Name,
    project::Restrictions,
    status::Access,
    time::Timestamp,
    weight::Weight,
};
use serde::Serialize;

use crate::state::rows::RowKey;

/// Something that happened to a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ProjectEvent {
    ProjectCreated {
        project: ProjectId,
        org: OrgId,
        name: Name,
        description: String,
        restrictions: Restrictions,
        created_by: UserId,
        at: Timestamp,
    },
    ProjectAccessChanged {
        project: ProjectId,
        org: OrgId,
        /// `None` is every member of the org.
        user: Option<UserId>,
        before: Option<Access>,
        after: Option<Access>,
        by: UserId,
        at: Timestamp,
    },
    ProjectChanged {
        project: ProjectId,
        org: OrgId,
        before: ProjectSettings,
        after: ProjectSettings,
    },
    ProjectWeightSet {
        project: ProjectId,
        org: OrgId,
        by: UserId,
        before: Weight,
        after: Weight,
    },
    ProjectArchived {
        project: ProjectId,
        org: OrgId,
        at: Timestamp,
    },
    /// Taken out of the archive.
    ProjectReopened { project: ProjectId, org: OrgId },
}

/// What administrators of a project choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProjectSettings {
    pub description: String,
    pub restrictions: Restrictions,
}

impl ProjectEvent {
    /// Returns the rows to write again (or delete) once the event is applied.
    pub(super) fn touched(&self) -> Vec<RowKey> {
        match self {
            Self::ProjectAccessChanged {
                project,
                user: Some(user),
                ..
            } => vec![RowKey::grant(*project, *user)],
            Self::ProjectCreated { project, .. }
            | Self::ProjectAccessChanged { project, .. }
            | Self::ProjectChanged { project, .. }
            | Self::ProjectWeightSet { project, .. }
            | Self::ProjectArchived { project, .. }
            | Self::ProjectReopened { project, .. } => vec![RowKey::project(*project)],
        }
    }

    pub(crate) const fn org(&self) -> OrgId {
        match self {
            Self::ProjectCreated { org, .. }
            | Self::ProjectAccessChanged { org, .. }
            | Self::ProjectChanged { org, .. }
            | Self::ProjectWeightSet { org, .. }
            | Self::ProjectArchived { org, .. }
            | Self::ProjectReopened { org, .. } => *org,
        }
    }
}
