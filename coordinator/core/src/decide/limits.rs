//! Limits of the org and of single members.

use common::{
    api::limits::SetMemberLimits,
    id::{OrgId, UserId},
    limits::{Limits, MAX_LIMITED_RESOURCES},
    name::Name,
    status::Role,
    time::Timestamp,
};

use super::member::find;
use crate::{
    event::Event,
    policy::{self, Action, permit},
    rejection::Rejection,
    state::{State, limits::OwnLimits},
};

pub(super) fn apply(
    state: &State,
    user: UserId,
    org: OrgId,
    limits: &Limits,
) -> Result<Vec<Event>, Rejection> {
    permit(state, org, user, Action::ChangeLimits)?;
    let before = &state.orgs.get(&org).ok_or(Rejection::NoSuchOrg)?.limits;
    if before == limits {
        return Ok(Vec::new());
    }
    Ok(vec![Event::LimitsApplied {
        org,
        before: Box::new(before.clone()),
        after: Box::new(limits.clone()),
    }])
}

/// Bounds what one member may hold. A bound that is wider than the org's own is no mistake: the org's still holds.
pub(super) fn set_member(
    state: &State,
    at: Timestamp,
    user: UserId,
    request: &SetMemberLimits,
) -> Result<Vec<Event>, Rejection> {
    let SetMemberLimits {
        org,
        handle,
        set,
        unset,
    } = request;
    let target = changeable(state, user, *org, handle)?;
    let own = state.own_limits.get(&(*org, target));
    let before = own.map(OwnLimits::limits).unwrap_or_default();
    let mut after = before.clone();
    for resource in unset {
        after.unset(resource);
    }
    for (resource, most) in set.iter() {
        let too_many = |_| Rejection::TooManyLimits {
            most: MAX_LIMITED_RESOURCES,
        };
        after.set(resource.clone(), most).map_err(too_many)?;
    }
    if before == after {
        return Ok(Vec::new());
    }
    Ok(vec![Event::MemberLimitsSet {
        org: *org,
        user: target,
        by: user,
        before,
        after,
        at,
    }])
}

/// Returns the member of that name, whose limits and weight the user may change.
///
/// # Errors
/// There is none, or it takes more than the user's role.
pub(super) fn changeable(
    state: &State,
    user: UserId,
    org: OrgId,
    handle: &Name,
) -> Result<UserId, Rejection> {
    policy::member(state, org, user)?;
    let (target, member) = find(state, org, handle)?;
    let action = match member.role {
        Role::Owner => Action::ChangeOwnerLimits,
        Role::Admin => Action::ChangeAdminLimits,
        Role::Member => Action::ChangeMemberLimits,
    };
    permit(state, org, user, action)?;
    Ok(target)
}
