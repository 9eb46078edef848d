//! Projects: making, granting, restricting, archiving.

use common::{
    api::project::{ArchiveProject, CreateProject, GrantAccess, RevokeAccess, SetProject},
    id::{OrgId, ProjectId, UserId},
    name::Name,
    org::settings::is_obeyed,
    project::{Grantee, MAX_DESCRIPTION_BYTES, MAX_GRANTS, MAX_PROJECTS, NO_PROJECT, Restrictions},
    status::Access,
    time::Timestamp,
};

use super::member;
use crate::{
    command::project::ProjectCommand,
    event::{
        Event,
        project::{ProjectEvent, ProjectSettings},
    },
    policy::{
        Action, permit,
        project::{self, ProjectAction, Seen},
    },
    rejection::{Rejection, project::ProjectRejection},
    state::State,
};

pub(super) fn decide(
    state: &State,
    at: Timestamp,
    user: UserId,
    command: &ProjectCommand,
) -> Result<Vec<Event>, Rejection> {
    let events = match command {
        ProjectCommand::Create { project, request } => create(state, at, user, *project, request),
        ProjectCommand::Grant(request) => grant(state, at, user, request),
        ProjectCommand::Revoke(request) => revoke(state, at, user, request),
        ProjectCommand::Set(request) => set(state, user, request),
        ProjectCommand::Archive(request) => archive(state, at, user, request),
    }?;
    Ok(events.into_iter().map(Event::Project).collect())
}

fn create(
    state: &State,
    at: Timestamp,
    user: UserId,
    project: ProjectId,
    request: &CreateProject,
) -> Result<Vec<ProjectEvent>, Rejection> {
    let org = request.org;
    permit(state, org, user, Action::CreateProject)?;
    check_description(&request.description)?;
    if request.name.as_str() == NO_PROJECT {
        let name = request.name.clone();
        return Err(ProjectRejection::Reserved { name }.into());
    }
    let names = state.index.project_names.get(&org);
    if names.is_some_and(|names| names.contains_key(&request.name)) {
        return Err(Rejection::NameTaken {
            noun: "project",
            name: request.name.clone(),
        });
    }
    if names.is_some_and(|names| names.len() >= MAX_PROJECTS) {
        return Err(ProjectRejection::TooManyProjects.into());
    }
    Ok(vec![
        ProjectEvent::ProjectCreated {
            project,
            org,
            name: request.name.clone(),
            description: request.description.clone(),
            restrictions: request.restrictions,
            created_by: user,
            at,
        },
        ProjectEvent::ProjectAccessChanged {
            project,
            org,
            user: Some(user),
            before: None,
            after: Some(Access::Administer),
            by: user,
            at,
        },
    ])
}

fn grant(
    state: &State,
    at: Timestamp,
    user: UserId,
    request: &GrantAccess,
) -> Result<Vec<ProjectEvent>, Rejection> {
    let (org, name) = (request.org, &request.name);
    let seen = project::permit(state, user, org, name, ProjectAction::Grant)?;
    let change = Change::find(state, &seen, org, &request.to)?;
    if change.user == Some(user) {
        return Err(ProjectRejection::OwnGrant { name: name.clone() }.into());
    }
    // Access that is there can be made less.
    if change.before.is_none_or(|before| request.access > before) {
        seen.must_be_open()?;
    }
    let is_new = change.user.is_some() && change.before.is_none();
    if is_new && grants(state, seen.id).count() >= MAX_GRANTS {
        return Err(ProjectRejection::TooManyGrants { name: name.clone() }.into());
    }
    change.to(state, at, user, &seen, Some(request.access))
}

fn revoke(
    state: &State,
    at: Timestamp,
    user: UserId,
    request: &RevokeAccess,
) -> Result<Vec<ProjectEvent>, Rejection> {
    let (org, name) = (request.org, &request.name);
    let seen = project::find(state, user, org, name)?;
    let change = Change::find(state, &seen, org, &request.from)?;
    // Whoever has access may give it back.
    if change.user != Some(user) {
        project::permit(state, user, org, name, ProjectAction::Grant)?;
    }
    change.to(state, at, user, &seen, None)
}

/// A grant that is about to change.
struct Change {
    /// `None` is everyone.
    user: Option<UserId>,
    before: Option<Access>,
}

impl Change {
    fn find(
        state: &State,
        seen: &Seen<'_>,
        org: OrgId,
        grantee: &Grantee,
    ) -> Result<Self, Rejection> {
        match grantee {
            Grantee::Everyone => Ok(Self {
                user: None,
                before: seen.project.everyone,
            }),
            Grantee::Member(handle) => {
                let (user, _) = member::find(state, org, handle)?;
                let grant = state.grants.get(&(seen.id, user));
                Ok(Self {
                    user: Some(user),
                    before: grant.map(|grant| grant.access),
                })
            }
        }
    }

    fn to(
        &self,
        state: &State,
        at: Timestamp,
        by: UserId,
        seen: &Seen<'_>,
        after: Option<Access>,
    ) -> Result<Vec<ProjectEvent>, Rejection> {
        if self.before == after {
            return Ok(Vec::new());
        }
        let lowers = self.before == Some(Access::Administer);
        if lowers && !self.others_administer(state, seen) {
            let name = seen.project.name.clone();
            return Err(ProjectRejection::LastAdministrator { name }.into());
        }
        Ok(vec![ProjectEvent::ProjectAccessChanged {
            project: seen.id,
            org: seen.project.org,
            user: self.user,
            before: self.before,
            after,
            by,
            at,
        }])
    }

    fn others_administer(&self, state: &State, seen: &Seen<'_>) -> bool {
        let everyone = self.user.is_some() && seen.project.everyone == Some(Access::Administer);
        everyone
            || grants(state, seen.id)
                .any(|(user, access)| access == Access::Administer && Some(user) != self.user)
    }
}

fn set(state: &State, user: UserId, request: &SetProject) -> Result<Vec<ProjectEvent>, Rejection> {
    let action = ProjectAction::Change;
    let seen = project::permit(state, user, request.org, &request.name, action)?;
    seen.must_be_open()?;
    let restrictions = &seen.project.restrictions;
    let before = ProjectSettings {
        description: seen.project.description.clone(),
        restrictions: *restrictions,
    };
    let description = request.description.as_ref().unwrap_or(&before.description);
    check_description(description)?;
    let after = ProjectSettings {
        description: description.clone(),
        restrictions: Restrictions {
            copy_out: request.copy_out.unwrap_or(restrictions.copy_out),
            delete: request.delete.unwrap_or(restrictions.delete),
            download: request.download.unwrap_or(restrictions.download),
        },
    };
    if before == after {
        return Ok(Vec::new());
    }
    Ok(vec![ProjectEvent::ProjectChanged {
        project: seen.id,
        org: request.org,
        before,
        after,
    }])
}

fn archive(
    state: &State,
    at: Timestamp,
    user: UserId,
    request: &ArchiveProject,
) -> Result<Vec<ProjectEvent>, Rejection> {
    let org = request.org;
    let seen = project::permit(state, user, org, &request.name, ProjectAction::Change)?;
    let project = seen.id;
    let event = match (seen.project.archived_at.is_some(), request.archived) {
        (false, true) => ProjectEvent::ProjectArchived { project, org, at },
        (true, false) => ProjectEvent::ProjectReopened { project, org },
        _ => return Ok(Vec::new()),
    };
    Ok(vec![event])
}

/// Returns what takes away every access that a member has by name, in all projects of the org.
pub(super) fn take_grants(
    state: &State,
    at: Timestamp,
    by: UserId,
    org: OrgId,
    member: UserId,
) -> impl Iterator<Item = Event> {
    let names = state.index.project_names.get(&org);
    let projects = names.into_iter().flat_map(|names| names.values());
    projects.filter_map(move |project| {
        let grant = state.grants.get(&(*project, member))?;
        Some(Event::Project(ProjectEvent::ProjectAccessChanged {
            project: *project,
            org,
            user: Some(member),
            before: Some(grant.access),
            after: None,
            by,
            at,
        }))
    })
}

/// Returns who has access to the project by name.
fn grants(state: &State, project: ProjectId) -> impl Iterator<Item = (UserId, Access)> {
    let grants = state.grants_of(project);
    grants.map(|(user, grant)| (user, grant.access))
}

fn check_description(text: &str) -> Result<(), Rejection> {
    let obeyed = |c: char| is_obeyed(c) && c != '\n' && c != '\t';
    if text.len() > MAX_DESCRIPTION_BYTES || text.chars().any(obeyed) {
        Err(ProjectRejection::Description.into())
    } else {
        Ok(())
    }
}

/// Returns the name that something belongs to, if it does.
pub(crate) fn name_of(state: &State, project: Option<ProjectId>) -> Option<Name> {
    let row = state.projects.get(&project?)?;
    Some(row.name.clone())
}
