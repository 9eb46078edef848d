//! New orgs: by whoever runs the coordinator, and by users where that is allowed.

use common::{
    id::{OrgId, UserId},
    name::Name,
    org::MAX_ORGS_OWNED,
    status::Role,
    time::Timestamp,
};

use crate::{
    command::WhoMayCreateOrgs,
    decide::account::check_new_handle,
    event::Event,
    rejection::{OrgRejection, Rejection},
    state::State,
};

/// Makes an org that the user owns.
pub(super) fn create_own(
    state: &State,
    at: Timestamp,
    user: UserId,
    org: OrgId,
    name: &Name,
    who_may: WhoMayCreateOrgs,
) -> Result<Vec<Event>, Rejection> {
    if who_may == WhoMayCreateOrgs::Operator {
        return Err(OrgRejection::OnlyOperatorCreates.into());
    }
    let owner = state.users.get(&user).ok_or(Rejection::WrongCaller)?;
    if owned(state, user) >= MAX_ORGS_OWNED {
        return Err(OrgRejection::OwnsTooMany.into());
    }
    create(state, at, org, name, user, &owner.handle)
}

/// Returns how many orgs the user owns.
fn owned(state: &State, user: UserId) -> usize {
    let orgs = state.index.belongings.orgs.get(&user);
    let members = orgs
        .into_iter()
        .flatten()
        .filter_map(|org| state.members.get(&(*org, user)));
    members.filter(|member| member.role == Role::Owner).count()
}

pub(in crate::decide) fn create(
    state: &State,
    at: Timestamp,
    org: OrgId,
    name: &Name,
    owner: UserId,
    handle: &Name,
) -> Result<Vec<Event>, Rejection> {
    if state.index.org_names.contains_key(name) || state.orgs.contains_key(&org) {
        return Err(Rejection::NameTaken {
            noun: "org",
            name: name.clone(),
        });
    }
    let mut events = vec![Event::OrgCreated {
        org,
        name: name.clone(),
        at,
    }];
    if !state.users.contains_key(&owner) {
        check_new_handle(state, handle)?;
        events.push(Event::UserCreated {
            user: owner,
            handle: handle.clone(),
            at,
        });
    }
    events.push(Event::MemberAdded {
        org,
        user: owner,
        role: Role::Owner,
        at,
    });
    Ok(events)
}
