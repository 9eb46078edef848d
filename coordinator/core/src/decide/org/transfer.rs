//! Handing an org over.

use common::{
    id::{OrgId, UserId},
    name::Name,
    status::Role,
};

use crate::{
    decide::member,
    event::{Event, OrgEvent},
    policy::{Action, permit},
    rejection::{OrgRejection, Rejection},
    state::State,
};

/// Makes an admin the owner, and the owner an admin, if the org's name was typed.
pub(super) fn transfer(
    state: &State,
    user: UserId,
    org: OrgId,
    handle: &Name,
    typed: &str,
) -> Result<Vec<Event>, Rejection> {
    permit(state, org, user, Action::TransferOrg)?;
    let (target, member) = member::find(state, org, handle)?;
    if member.role != Role::Admin {
        let (handle, role) = (handle.clone(), member.role);
        return Err(OrgRejection::NotAnAdmin { handle, role }.into());
    }
    check_typed(state, org, typed)?;
    Ok(vec![Event::Org(OrgEvent::OrgTransferred {
        org,
        before: user,
        after: target,
    })])
}

/// Checks that somebody has typed the org's name, letter by letter.
pub(super) fn check_typed(state: &State, org: OrgId, typed: &str) -> Result<(), Rejection> {
    let row = state.orgs.get(&org).ok_or(Rejection::NoSuchOrg)?;
    if row.name.as_str() == typed {
        return Ok(());
    }
    let name = row.name.clone();
    Err(OrgRejection::WrongTypedName { name }.into())
}
