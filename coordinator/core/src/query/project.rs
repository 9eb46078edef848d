//! Projects as people see them.

use common::{
    api::{
        MAX_ROWS,
        page::Page,
        project::{ProjectAnswer, ProjectRequest},
    },
    id::{OrgId, ProjectId, UserId},
    name::Name,
    problem::Problem,
    project::{GrantView, MAX_GRANTS, ProjectView},
};

use super::{
    handle,
    page::{after, page},
};
use crate::{
    policy::{
        self,
        project::{Seen, access, find},
    },
    rejection::Rejection,
    state::State,
};

/// Answers a question about projects.
///
/// # Errors
/// What is not there or may not be seen; a request that is no question.
pub(super) fn answer(
    state: &State,
    user: UserId,
    request: &ProjectRequest,
) -> Result<ProjectAnswer, Problem> {
    match request {
        ProjectRequest::List {
            org,
            archived,
            after,
        } => {
            let list = list(state, user, *org, *archived, after.as_ref())?;
            Ok(ProjectAnswer::List(list))
        }
        ProjectRequest::Show { org, name } => {
            let view = show(state, user, *org, name)?;
            Ok(ProjectAnswer::One(Box::new(view)))
        }
        ProjectRequest::Create(_)
        | ProjectRequest::Grant(_)
        | ProjectRequest::Revoke(_)
        | ProjectRequest::Set(_)
        | ProjectRequest::Archive(_) => Err(super::not_a_question()),
    }
}

/// By name.
fn list(
    state: &State,
    user: UserId,
    org: OrgId,
    archived: bool,
    last: Option<&Name>,
) -> Result<Page<ProjectView, Name>, Rejection> {
    policy::member(state, org, user)?;
    let names = state.index.project_names.get(&org).into_iter();
    let names = names.flat_map(|names| names.range::<Name, _>(after(last)));
    let seen = |id: ProjectId| {
        let seen = Seen {
            id,
            project: state.projects.get(&id)?,
            access: access(state, id, user)?,
        };
        (archived || seen.project.archived_at.is_none()).then_some(seen)
    };
    let key = |(name, _): (&Name, _)| name.clone();
    page(MAX_ROWS, names, key, |(_, id)| {
        seen(*id).map(|seen| view(state, &seen)).transpose()
    })
}

fn show(state: &State, user: UserId, org: OrgId, name: &Name) -> Result<ProjectView, Rejection> {
    let seen = find(state, user, org, name)?;
    let mut shown = view(state, &seen)?;
    shown.grants = grants(state, seen.id)?;
    Ok(shown)
}

fn view(state: &State, seen: &Seen<'_>) -> Result<ProjectView, Rejection> {
    let row = seen.project;
    Ok(ProjectView {
        id: seen.id,
        name: row.name.clone(),
        description: row.description.clone(),
        created_by: handle(state, row.created_by)?,
        created_at: row.created_at,
        archived_at: row.archived_at,
        restrictions: row.restrictions,
        access: seen.access,
        everyone: row.everyone,
        grants: Vec::new(),
    })
}

fn grants(state: &State, project: ProjectId) -> Result<Vec<GrantView>, Rejection> {
    let rows = state.grants_of(project).take(MAX_GRANTS);
    let views = rows.map(|(user, grant)| {
        Ok(GrantView {
            member: handle(state, user)?,
            access: grant.access,
            granted_by: handle(state, grant.by)?,
            granted_at: grant.at,
        })
    });
    let mut views: Vec<GrantView> = views.collect::<Result<_, Rejection>>()?;
    views.sort_by(|one, other| one.member.cmp(&other.member));
    Ok(views)
}
