//! Who may use or change a secret. Nobody may see one.

use common::{
    id::{ProjectId, UserId},
    secret::{SecretKind, SecretName},
    status::Role,
};

use super::{
    Action, always,
    project::{self, ProjectAction},
};
use crate::state::{State, job::Job, org::Member, secret::Secret};

/// Returns whether the user may set it anew, delete it and say who uses it.
pub(crate) fn may_change(state: &State, user: UserId, role: Role, secret: &Secret) -> bool {
    match secret.project {
        Some(project) => project::may(state, project, user, ProjectAction::ManageSecrets),
        None => always(role, Action::ManageSecrets),
    }
}

/// Returns whether a job of the user may use it: one of that project, or of none.
pub(crate) fn may_use(
    user: UserId,
    role: Role,
    project: Option<ProjectId>,
    secret: &Secret,
) -> bool {
    // Whoever has a job in a project may have its secrets there.
    if secret.project.is_some() {
        return secret.project == project;
    }
    let users = &secret.users;
    users.everyone
        || always(role, Action::ManageSecrets)
        || users.members.contains(&user)
        || project.is_some_and(|project| users.projects.contains(&project))
}

/// Returns whether the user may know that it is there: whoever may use it in some job, or change it.
pub(crate) fn may_know(state: &State, user: UserId, role: Role, secret: &Secret) -> bool {
    let runs_in = |id: &ProjectId| project::may(state, *id, user, ProjectAction::Submit);
    may_change(state, user, role, secret)
        || secret.project.as_ref().is_some_and(runs_in)
        || may_use(user, role, None, secret)
        || secret.users.projects.iter().any(runs_in)
}

/// Returns the secret that a job of this member finds under the name: its project's own, or the org's.
pub(crate) fn find<'a>(
    state: &'a State,
    user: UserId,
    role: Role,
    scope: (common::id::OrgId, Option<ProjectId>),
    name: &SecretName,
) -> Option<&'a Secret> {
    let (org, project) = scope;
    let own = project.and_then(|project| state.secret(org, Some(project), name));
    own.or_else(|| state.secret(org, None, name))
        .map(|(_, secret)| secret)
        .filter(|secret| may_use(user, role, project, secret))
}

/// Returns the secret that opens the registry for a job of this member, by name the first.
pub(crate) fn find_registry<'a>(
    state: &'a State,
    user: UserId,
    role: Role,
    scope: (common::id::OrgId, Option<ProjectId>),
    wanted: &str,
) -> Option<&'a Secret> {
    let (org, project) = scope;
    let own = project.map(|project| state.secrets_of(org, Some(project)));
    let all = own.into_iter().flatten().chain(state.secrets_of(org, None));
    all.map(|(_, secret)| secret).find(|secret| {
        matches!(&secret.kind, SecretKind::Registry { registry } if registry == wanted)
            && may_use(user, role, project, secret)
    })
}

/// Returns the member whose job it is, if they could still submit it: secrets go to nobody who was shown out, whatever
/// of theirs still waits.
fn submitter<'a>(state: &'a State, job: &Job) -> Option<&'a Member> {
    let may = |project| project::may(state, project, job.owner, ProjectAction::Submit);
    state
        .members
        .get(&(job.org, job.owner))
        .filter(|_| job.project.is_none_or(may))
}

/// Returns the secret that the job uses under this name, as things are now.
pub(crate) fn of_job<'a>(state: &'a State, job: &Job, name: &SecretName) -> Option<&'a Secret> {
    let owner = submitter(state, job)?;
    let found = find(state, job.owner, owner.role, (job.org, job.project), name);
    found.filter(|secret| secret.kind == SecretKind::Variable)
}

/// Returns the secret that opens the registry for the job, as things are now.
pub(crate) fn registry_of_job<'a>(state: &'a State, job: &Job, wanted: &str) -> Option<&'a Secret> {
    let owner = submitter(state, job)?;
    find_registry(state, job.owner, owner.role, (job.org, job.project), wanted)
}
