//! Orgs: founding, settings.

pub(crate) mod deletion;
mod settings;
mod transfer;

use common::{
    id::{OrgId, UserId},
    name::Name,
    status::Role,
    time::Timestamp,
};

use super::{member, rejoin};
use crate::{
    command::OrgCommand,
    event::{Event, OrgEvent},
    rejection::Rejection,
    state::State,
};

pub(super) fn decide(
    state: &State,
    at: Timestamp,
    user: UserId,
    command: &OrgCommand,
) -> Result<Vec<Event>, Rejection> {
    match command {
        OrgCommand::ChangeSettings { org, change } => settings::change(state, user, *org, change),
        OrgCommand::Leave { org } => member::leave(state, at, user, *org),
        OrgCommand::Transfer { org, to, typed } => transfer::transfer(state, user, *org, to, typed),
        OrgCommand::Delete { org, typed } => deletion::delete(state, at, user, *org, typed),
        OrgCommand::RequestRejoin { request, name } => {
            rejoin::request(state, at, user, *request, name)
        }
    }
}

/// Notes that nothing of a deleted org is on the disk any more.
pub(super) fn finish_deletion(state: &State, org: OrgId) -> Vec<Event> {
    let row = state.deletions.get(&org);
    let done = row.map(|row| OrgEvent::OrgFilesDeleted {
        org,
        trees: row.trees.len() as u64,
    });
    done.map(Event::Org).into_iter().collect()
}

pub(super) fn create(
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
        if state.index.handles.contains_key(handle) {
            return Err(Rejection::NameTaken {
                noun: "user",
                name: handle.clone(),
            });
        }
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
