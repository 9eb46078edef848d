//! Members: roles, leaving, removal.

use common::{
    id::{OrgId, UserId},
    name::Name,
    status::Role,
    time::Timestamp,
};

use super::{draft::Draft, enrolment, machine, project};
use crate::{
    event::{Event, Holder},
    policy::{self, Action, permit},
    rejection::Rejection,
    state::{State, org::Member},
};

pub(super) fn set_role(
    state: &State,
    user: UserId,
    org: OrgId,
    handle: &Name,
    role: Role,
) -> Result<Vec<Event>, Rejection> {
    permit(state, org, user, Action::ChangeRole)?;
    let (target, member) = find(state, org, handle)?;
    if role == Role::Owner || member.role == Role::Owner {
        return Err(Rejection::OwnerRole);
    }
    if member.role == role {
        return Ok(Vec::new());
    }
    Ok(vec![Event::RoleChanged {
        org,
        user: target,
        before: member.role,
        after: role,
    }])
}

/// Ends everything that a member has in the org at once: jobs, machines, invitations, certificates.
pub(super) fn remove(
    state: &State,
    at: Timestamp,
    user: UserId,
    org: OrgId,
    handle: &Name,
) -> Result<Vec<Event>, Rejection> {
    policy::member(state, org, user)?;
    let (target, member) = find(state, org, handle)?;
    if member.role == Role::Owner {
        return Err(Rejection::OwnerStays {
            handle: handle.clone(),
        });
    }
    if target != user {
        let action = match member.role {
            Role::Admin => Action::RemoveAdmin,
            _ => Action::RemoveMember,
        };
        permit(state, org, user, action)?;
    }

    let mut draft = Draft::new(state, at);
    let jobs = state.index.open_jobs.get(&(org, target));
    for job in jobs.into_iter().flatten() {
        draft.cancel_job(*job);
    }
    let names = state.index.machine_names.get(&org);
    for id in names.into_iter().flat_map(|names| names.values()) {
        if let Some(row) = state.machines.get(id)
            && row.owner == target
        {
            machine::take_out(&mut draft, state, at, *id, row);
        }
    }
    for (id, invitation) in &state.invitations {
        let theirs = invitation.created_by == target || invitation.user == Some(target);
        if invitation.org == org && theirs && invitation.revoked_at.is_none() {
            draft.push(Event::InvitationRevoked {
                invitation: *id,
                at,
            });
        }
    }
    for event in project::take_grants(state, at, user, org, target) {
        draft.push(event);
    }
    let elsewhere = state
        .members
        .keys()
        .any(|(other, member)| *member == target && *other != org);
    if !elsewhere {
        enrolment::revoke_all(&mut draft, state, at, Holder::User(target));
    }
    draft.push(Event::MemberRemoved {
        org,
        user: target,
        role: member.role,
    });
    Ok(draft.into_events())
}

pub(super) fn find(
    state: &State,
    org: OrgId,
    handle: &Name,
) -> Result<(UserId, Member), Rejection> {
    let found = state.index.handles.get(handle).and_then(|user| {
        let member = state.members.get(&(org, *user))?;
        Some((*user, *member))
    });
    found.ok_or_else(|| Rejection::NoSuchMember {
        handle: handle.clone(),
    })
}
