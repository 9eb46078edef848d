//! Secrets as people see them: by name.

use common::{
    api::{
        MAX_ROWS,
        page::Page,
        secret::{SecretAnswer, SecretPlace, SecretRequest},
    },
    id::{OrgId, ProjectId, SecretId, UserId},
    name::Name,
    problem::Problem,
    secret::{SecretName, SecretUsersView, SecretView},
    status::Role,
};

use super::{
    access::{SealedSecret, sealed},
    handle,
    page::{after, page},
};
use crate::{
    decide::project::name_of,
    policy::{
        self, project,
        secret::{may_change, may_know},
    },
    rejection::{Rejection, secret::SecretRejection},
    state::{State, secret::Secret},
};

/// Answers a question about secrets.
///
/// # Errors
/// No member of the org; a request that is no question.
pub(super) fn answer(
    state: &State,
    user: UserId,
    request: &SecretRequest,
) -> Result<SecretAnswer, Problem> {
    match request {
        SecretRequest::List { org, after } => {
            let list = list(state, user, *org, after.as_ref())?;
            Ok(SecretAnswer::List(list))
        }
        SecretRequest::Set(_) | SecretRequest::Allow(_) | SecretRequest::Delete { .. } => {
            Err(super::not_a_question())
        }
    }
}

/// The org's own by name, then those of projects.
fn list(
    state: &State,
    user: UserId,
    org: OrgId,
    last: Option<&SecretPlace>,
) -> Result<Page<SecretView, SecretPlace>, Rejection> {
    let role = policy::member(state, org, user)?.role;
    let first = last.and_then(|last| last.project);
    let scopes = state.index.secret_names.range((org, first)..);
    let scopes = scopes.take_while(|((of, _), _)| *of == org);
    let names = scopes.flat_map(|((_, project), names)| {
        let last = last.filter(|last| last.project == *project);
        let names = names.range::<SecretName, _>(after(last.map(|last| &last.name)));
        names.map(|(name, id)| (*project, name, *id))
    });
    let key = |(project, name, _): (_, &SecretName, _)| SecretPlace {
        project,
        name: name.clone(),
    };
    page(MAX_ROWS, names, key, |(_, _, id)| {
        let row = state.secrets.get(&id);
        let row = row.filter(|row| may_know(state, user, role, row));
        row.map(|row| view(state, user, role, id, row)).transpose()
    })
}

/// Returns a secret that the user has just changed.
///
/// # Errors
/// It is gone again, or not the user's to know of.
pub fn changed(
    state: &State,
    user: UserId,
    org: OrgId,
    project: Option<&Name>,
    name: &SecretName,
) -> Result<SecretView, Problem> {
    let role = policy::member(state, org, user)?.role;
    let project = project.map(|project| project::find(state, user, org, project));
    let project: Option<ProjectId> = project.transpose()?.map(|seen| seen.id);
    let found = state.secret(org, project, name);
    let known = found.filter(|(_, row)| may_know(state, user, role, row));
    let (id, row) = known
        .ok_or_else(|| SecretRejection::NoSuch { name: name.clone() })
        .map_err(Rejection::from)?;
    Ok(view(state, user, role, id, row)?)
}

/// Returns every secret there is, as it was sealed: for whoever has the key, to see that it opens them.
pub fn every(state: &State) -> impl Iterator<Item = SealedSecret<'_>> {
    state.secrets.values().map(|row| sealed(state, row))
}

fn view(
    state: &State,
    user: UserId,
    role: Role,
    id: SecretId,
    row: &Secret,
) -> Result<SecretView, Rejection> {
    let users = may_change(state, user, role, row).then(|| users(state, row));
    Ok(SecretView {
        id,
        name: row.name.clone(),
        project: name_of(state, row.project),
        kind: row.kind.clone(),
        version: row.version,
        masked: row.masked,
        set_by: handle(state, row.set_by)?,
        set_at: row.set_at,
        users: users.transpose()?,
    })
}

fn users(state: &State, row: &Secret) -> Result<SecretUsersView, Rejection> {
    let users = &row.users;
    let members = users.members.iter().map(|user| handle(state, *user));
    let projects = users.projects.iter();
    Ok(SecretUsersView {
        everyone: users.everyone,
        members: members.collect::<Result<_, Rejection>>()?,
        projects: projects
            .filter_map(|id| name_of(state, Some(*id)))
            .collect(),
    })
}
