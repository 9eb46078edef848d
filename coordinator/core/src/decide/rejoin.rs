//! Coming back. Who left, or was removed and is still signed in by another org, asks, and an admin decides. Who was
//! signed out with the removal comes back by a new invitation of an admin: the key of a device that was signed out
//! says who it is, so that nobody else can take the name.

use common::{
    id::{ApprovalId, Fingerprint, OrgId, UserId},
    name::Name,
    status::Role,
    time::Timestamp,
};

use super::approval;
use crate::{
    event::{Event, OrgEvent, Parting, approval::ApprovalSubject},
    policy::{self, Action, always},
    rejection::{OrgRejection, Rejection},
    state::{State, invitation::Invitation},
};

/// Asks to come back into the org of this name, which only those know of who were in it.
pub(super) fn request(
    state: &State,
    at: Timestamp,
    user: UserId,
    request: ApprovalId,
    name: &Name,
) -> Result<Vec<Event>, Rejection> {
    let org = *state
        .index
        .org_names
        .get(name)
        .ok_or(Rejection::NoSuchOrg)?;
    if policy::member(state, org, user).is_ok() {
        return Err(OrgRejection::MemberAlready { org: name.clone() }.into());
    }
    let former = state.former.get(&(org, user)).ok_or(Rejection::NoSuchOrg)?;
    if former.request.is_some() {
        return Ok(Vec::new());
    }
    let requested = Event::Org(OrgEvent::RejoinRequested {
        request,
        org,
        user,
        at,
    });
    let subject = ApprovalSubject::Rejoin(user);
    let asked = approval::asked(request, org, subject, user, String::new(), at);
    Ok(vec![requested, asked])
}

/// Takes back the request of somebody who comes in otherwise.
pub(super) fn needless(state: &State, at: Timestamp, org: OrgId, user: UserId) -> Option<Event> {
    let request = state.former.get(&(org, user))?.request?;
    approval::withdrawn(state, request, at)
}

/// Lets somebody who asked back in, as a member. Whoever decides it was asked for leave by the caller.
pub(super) fn readmit(
    state: &State,
    at: Timestamp,
    org: OrgId,
    user: UserId,
) -> Result<Vec<Event>, Rejection> {
    waiting(state, org, user)?;
    Ok(vec![Event::MemberAdded {
        org,
        user,
        role: Role::Member,
        at,
    }])
}

/// Keeps somebody who asked out; they may ask again.
pub(super) fn refuse(
    state: &State,
    at: Timestamp,
    org: OrgId,
    user: UserId,
) -> Result<Vec<Event>, Rejection> {
    waiting(state, org, user)?;
    Ok(vec![Event::Org(OrgEvent::RejoinRefused { org, user, at })])
}

fn waiting(state: &State, org: OrgId, user: UserId) -> Result<(), Rejection> {
    let former = state.former.get(&(org, user));
    let asked = former.is_some_and(|former| former.request.is_some());
    asked.then_some(()).ok_or(Rejection::NoSuchOrg)
}

/// Returns who was signed out of the org with a device of this key, and is in no org since.
pub(super) fn known_by_key(state: &State, org: OrgId, key: Fingerprint) -> Option<UserId> {
    let belongings = &state.index.belongings;
    let user = *belongings.former_keys.get(&(org, key))?;
    (!belongings.orgs.contains_key(&user)).then_some(user)
}

/// Checks that this invitation may bring the user back: one whom an admin removed comes by an admin's alone.
pub(super) fn may_return(
    state: &State,
    user: UserId,
    invitation: &Invitation,
) -> Result<(), Rejection> {
    let org = invitation.org;
    let former = state.former.get(&(org, user));
    if former.is_none_or(|former| former.parting == Parting::Left) {
        return Ok(());
    }
    let maker = state.members.get(&(org, invitation.created_by));
    let decides = maker.is_some_and(|maker| always(maker.role, Action::RemoveMember));
    let removed = OrgRejection::RemovedByAdmin;
    decides.then_some(()).ok_or_else(|| removed.into())
}
