//! Secrets: setting, saying who uses them, deleting.

use std::collections::BTreeSet;

use common::{
    api::secret::{AllowSecret, SetSecret, UsersChange},
    id::{OrgId, ProjectId, SecretId, UserId},
    name::Name,
    secret::{MAX_SECRETS, MAX_USERS, SecretKind, SecretName, SecretUser},
    status::Role,
    time::Timestamp,
};

use super::member;
use crate::{
    command::secret::SecretCommand,
    event::{Event, secret::SecretEvent},
    policy::{
        self, Action, permit,
        project::{self, ProjectAction, Seen},
    },
    rejection::{Rejection, secret::SecretRejection},
    state::{
        State,
        secret::{Secret, SecretUsers},
    },
};

pub(super) fn decide(
    state: &State,
    at: Timestamp,
    user: UserId,
    command: &SecretCommand,
) -> Result<Vec<Event>, Rejection> {
    let event = match command {
        SecretCommand::Set {
            secret,
            request,
            masked,
        } => Some(set(state, at, user, *secret, request, *masked)?),
        SecretCommand::Allow(request) => allow(state, user, request)?,
        SecretCommand::Delete { org, project, name } => {
            Some(delete(state, user, *org, project.as_ref(), name)?)
        }
    };
    Ok(event.into_iter().map(Event::Secret).collect())
}

/// Returns the project whose secrets the user may change, or `None` for the org's own.
fn scope<'a>(
    state: &'a State,
    user: UserId,
    org: OrgId,
    project: Option<&Name>,
) -> Result<Option<Seen<'a>>, Rejection> {
    match project {
        Some(name) => {
            let seen = project::permit(state, user, org, name, ProjectAction::ManageSecrets)?;
            Ok(Some(seen))
        }
        None => permit(state, org, user, Action::ManageSecrets).map(|_| None),
    }
}

fn set(
    state: &State,
    at: Timestamp,
    user: UserId,
    fresh: SecretId,
    request: &SetSecret,
    masked: bool,
) -> Result<SecretEvent, Rejection> {
    let org = request.org;
    let project = scope(state, user, org, request.project.as_ref())?;
    project.map_or(Ok(()), |seen| seen.must_be_open())?;
    let project = project.map(|seen| seen.id);
    if !request.value.is_bounded() {
        return Err(SecretRejection::ValueTooLong.into());
    }
    let known = state.secret(org, project, &request.name);
    if known.is_none() && state.index.secrets_in(org) >= MAX_SECRETS {
        return Err(SecretRejection::TooManySecrets.into());
    }
    let (secret, version) = known.map_or((fresh, 1), |(id, row)| (id, row.version + 1));
    Ok(SecretEvent::SecretSet {
        secret,
        org,
        project,
        name: request.name.clone(),
        kind: request.kind.clone(),
        version,
        value: request.value.clone(),
        masked,
        by: user,
        at,
    })
}

fn allow(
    state: &State,
    user: UserId,
    request: &AllowSecret,
) -> Result<Option<SecretEvent>, Rejection> {
    let (org, name) = (request.org, &request.name);
    permit(state, org, user, Action::ManageSecrets)?;
    let (secret, row) = find(state, org, None, name)?;
    let before = &row.users;
    let mut after = before.clone();
    match &request.change {
        UsersChange::Allow(who) => change(state, user, org, &mut after, who, true)?,
        UsersChange::Disallow(who) => change(state, user, org, &mut after, who, false)?,
        UsersChange::AdminsOnly => after = SecretUsers::default(),
    }
    if after.members.len() > MAX_USERS || after.projects.len() > MAX_USERS {
        return Err(SecretRejection::TooManyUsers { name: name.clone() }.into());
    }
    Ok((after != *before).then(|| SecretEvent::SecretUsersChanged {
        secret,
        org,
        before: before.clone(),
        after,
    }))
}

fn change(
    state: &State,
    by: UserId,
    org: OrgId,
    users: &mut SecretUsers,
    who: &SecretUser,
    allowed: bool,
) -> Result<(), Rejection> {
    match who {
        SecretUser::Everyone => users.everyone = allowed,
        SecretUser::Member(handle) => {
            let (user, _) = member::find(state, org, handle)?;
            put(&mut users.members, user, allowed);
        }
        SecretUser::Project(name) => {
            let seen = project::find(state, by, org, name)?;
            if allowed {
                seen.must_be_open()?;
            }
            put(&mut users.projects, seen.id, allowed);
        }
    }
    Ok(())
}

fn put<T: Ord>(set: &mut BTreeSet<T>, one: T, there: bool) {
    if there {
        set.insert(one);
    } else {
        set.remove(&one);
    }
}

fn delete(
    state: &State,
    user: UserId,
    org: OrgId,
    project: Option<&Name>,
    name: &SecretName,
) -> Result<SecretEvent, Rejection> {
    let project = scope(state, user, org, project)?.map(|seen| seen.id);
    let (secret, _) = find(state, org, project, name)?;
    Ok(SecretEvent::SecretDeleted {
        secret,
        org,
        project,
        name: name.clone(),
    })
}

fn find<'a>(
    state: &'a State,
    org: OrgId,
    project: Option<ProjectId>,
    name: &SecretName,
) -> Result<(SecretId, &'a Secret), Rejection> {
    let found = state.secret(org, project, name);
    found.ok_or_else(|| SecretRejection::NoSuch { name: name.clone() }.into())
}

/// Returns what takes a member out of the users of every secret of the org.
pub(super) fn take_uses(state: &State, org: OrgId, member: UserId) -> impl Iterator<Item = Event> {
    let own = state.secrets_of(org, None);
    own.filter(move |(_, row)| row.users.members.contains(&member))
        .map(move |(secret, row)| {
            let mut after = row.users.clone();
            after.members.remove(&member);
            Event::Secret(SecretEvent::SecretUsersChanged {
                secret,
                org,
                before: row.users.clone(),
                after,
            })
        })
}

/// Checks that a job of the user, in the project or in none, may use these secrets.
pub(super) fn check_uses(
    state: &State,
    user: UserId,
    role: Role,
    scope: (OrgId, Option<ProjectId>),
    names: &[SecretName],
) -> Result<(), Rejection> {
    names.iter().try_for_each(|name| {
        let found = policy::secret::find(state, user, role, scope, name);
        let name = || name.clone();
        match found.map(|secret| &secret.kind) {
            Some(SecretKind::Variable) => Ok(()),
            Some(SecretKind::Registry { .. }) => {
                Err(SecretRejection::NotAVariable { name: name() }.into())
            }
            None => Err(SecretRejection::NoSuch { name: name() }.into()),
        }
    })
}
