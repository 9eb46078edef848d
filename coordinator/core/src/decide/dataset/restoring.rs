//! Bringing back what was deleted, by whoever could delete it.

use common::{
    api::data::RestoreDataset,
    id::{DatasetId, UserId},
    name::Name,
    time::Timestamp,
    units::Bytes,
};

use super::{find, find_deleted};
use crate::{
    event::{Event, dataset::DatasetEvent},
    policy,
    rejection::{DatasetRejection, Rejection},
    state::{State, dataset::Dataset},
};

pub(super) fn restore(
    state: &State,
    at: Timestamp,
    user: UserId,
    request: &RestoreDataset,
) -> Result<Vec<Event>, Rejection> {
    let event = match request.dataset.version {
        Some(number) => version(state, at, user, request, number)?,
        None => whole(state, at, user, request)?,
    };
    Ok(vec![Event::Dataset(event)])
}

fn version(
    state: &State,
    at: Timestamp,
    user: UserId,
    request: &RestoreDataset,
    number: u32,
) -> Result<DatasetEvent, Rejection> {
    let (org, dataset) = (request.org, request.dataset.clone());
    let (member, id, row) = match find(state, user, org, &dataset.name) {
        Ok(found) => found,
        // One by one they cannot come back where the whole dataset is deleted.
        Err(missing) => match find_deleted(state, user, org, &dataset.name)?.next() {
            None => return Err(missing),
            Some(_) => return Err(DatasetRejection::DeletedWhole { dataset }.into()),
        },
    };
    if request.under.is_some() {
        return Err(DatasetRejection::VersionUnderName.into());
    }
    let found = row.any_version(number).filter(|version| {
        let kept = version.deleted.is_some();
        kept || version.deleted_at.is_none()
    });
    let found = found.ok_or_else(|| Rejection::no_such_version(row, &dataset))?;
    policy::check_delete(state, user, member.role, row, Some(found))?;
    if found.deleted_at.is_none() {
        return Err(DatasetRejection::NotDeleted { dataset }.into());
    }
    Ok(DatasetEvent::DatasetVersionRestored {
        dataset: id,
        org,
        name: row.name.clone(),
        version: number,
        by: user,
        at,
    })
}

fn whole(
    state: &State,
    at: Timestamp,
    user: UserId,
    request: &RestoreDataset,
) -> Result<DatasetEvent, Rejection> {
    let (org, dataset) = (request.org, request.dataset.clone());
    let role = policy::member(state, org, user)?.role;
    let found = find_deleted(state, user, org, &dataset.name)?.next();
    let (id, row): (DatasetId, &Dataset) = match found {
        Some(found) => found,
        None => {
            find(state, user, org, &dataset.name)?;
            return Err(DatasetRejection::NotDeleted { dataset }.into());
        }
    };
    policy::check_delete(state, user, role, row, None)?;
    let name = request.under.as_ref().unwrap_or(&row.name);
    check_name(state, request, row, name)?;
    Ok(DatasetEvent::DatasetRestored {
        dataset: id,
        org,
        before: row.name.clone(),
        name: name.clone(),
        by: user,
        versions: row.count(),
        bytes: Bytes(row.bytes()),
        at,
    })
}

/// Checks that nothing has the name, and that no number of it would mean other files than it did.
fn check_name(
    state: &State,
    request: &RestoreDataset,
    row: &Dataset,
    name: &Name,
) -> Result<(), Rejection> {
    let names = state.index.dataset_names.get(&request.org);
    let taken = names.is_some_and(|names| names.contains_key(name));
    let past = state.past_names.get(&(request.org, name.clone()));
    let meant = if *name == row.name { row.next() } else { 1 };
    if taken || past.is_some_and(|past| past.next != meant) {
        let (dataset, name) = (request.dataset.name.clone(), name.clone());
        return Err(DatasetRejection::NameUsed { dataset, name }.into());
    }
    Ok(())
}
