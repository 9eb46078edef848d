//! Orgs: founding, settings, another owner, the end.

pub(crate) mod deletion;
mod founding;
mod logo;
mod settings;
mod transfer;

use common::{
    id::{OrgId, UserId},
    time::Timestamp,
};

pub(super) use self::founding::create;
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
        OrgCommand::SetLogo { org, picture } => logo::set(state, user, *org, picture),
        OrgCommand::RemoveLogo { org } => logo::remove(state, user, *org),
        OrgCommand::Create { org, name, who_may } => {
            founding::create_own(state, at, user, *org, name, *who_may)
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
