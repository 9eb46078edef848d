//! Members: roles, leaving, removal.

pub(crate) mod departure;

use common::{
    id::{OrgId, UserId},
    name::Name,
    org::departure::DeparturePreview,
    status::Role,
    time::Timestamp,
};

use self::departure::depart;
use crate::{
    event::{Event, Parting},
    policy::{self, Action, permit},
    rejection::{OrgRejection, Rejection},
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

/// Ends a membership, by somebody who may, or by the member.
pub(super) fn remove(
    state: &State,
    at: Timestamp,
    user: UserId,
    org: OrgId,
    handle: &Name,
) -> Result<Vec<Event>, Rejection> {
    let (target, member) = removable(state, user, org, handle)?;
    let parting = if target == user {
        Parting::Left
    } else {
        Parting::Removed
    };
    Ok(depart(state, at, user, org, target, member, parting))
}

/// Ends the membership of the user who asks.
pub(super) fn leave(
    state: &State,
    at: Timestamp,
    user: UserId,
    org: OrgId,
) -> Result<Vec<Event>, Rejection> {
    let member = leavable(state, user, org)?;
    Ok(depart(state, at, user, org, user, member, Parting::Left))
}

/// Returns what [`remove`] would do.
pub(crate) fn preview_removal(
    state: &State,
    at: Timestamp,
    user: UserId,
    org: OrgId,
    handle: &Name,
) -> Result<DeparturePreview, Rejection> {
    let (target, member) = removable(state, user, org, handle)?;
    let events = remove(state, at, user, org, handle)?;
    departure::preview(state, org, target, member, &events)
}

/// Returns what [`leave`] would do.
pub(crate) fn preview_leaving(
    state: &State,
    at: Timestamp,
    user: UserId,
    org: OrgId,
) -> Result<DeparturePreview, Rejection> {
    let member = leavable(state, user, org)?;
    let events = leave(state, at, user, org)?;
    departure::preview(state, org, user, member, &events)
}

/// Returns the member whom the user may remove: themselves too.
fn removable(
    state: &State,
    user: UserId,
    org: OrgId,
    handle: &Name,
) -> Result<(UserId, Member), Rejection> {
    policy::membership(state, org, user)?;
    let (target, member) = find(state, org, handle)?;
    if target == user {
        return Ok((user, leavable(state, user, org)?));
    }
    let action = match member.role {
        Role::Owner => {
            return Err(Rejection::OwnerStays {
                handle: handle.clone(),
            });
        }
        Role::Admin => Action::RemoveAdmin,
        Role::Member => Action::RemoveMember,
    };
    permit(state, org, user, action)?;
    Ok((target, member))
}

fn leavable(state: &State, user: UserId, org: OrgId) -> Result<Member, Rejection> {
    let member = policy::membership(state, org, user)?;
    if member.role == Role::Owner {
        return Err(OrgRejection::OwnerLeaves.into());
    }
    Ok(member)
}

pub(crate) fn find(
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
