//! Datasets as people see them.

use common::{
    api::{
        MAX_ROWS,
        data::{DataAnswer, DataRequest},
        page::Page,
    },
    dataset::{DatasetDeletion, DatasetVersionView, DatasetView},
    id::{DatasetId, OrgId, UserId},
    name::Name,
};

use super::{
    handle,
    page::{after, page},
};
use crate::{
    decide::{
        dataset::{deletion, find},
        project::name_of,
    },
    event::{Event, dataset::DatasetEvent},
    policy,
    rejection::Rejection,
    state::{State, dataset::Dataset},
};

/// Answers what only asks, and `None` what does not.
pub(super) fn answer(
    state: &State,
    user: UserId,
    request: &DataRequest,
) -> Result<Option<DataAnswer>, Rejection> {
    let DataRequest::PreviewDeletion { org, dataset } = request else {
        return Ok(None);
    };
    let preview = deletion::preview(state, user, *org, dataset)?;
    Ok(Some(DataAnswer::Deletion(preview)))
}

/// Returns what went, as these events say.
pub fn deleted(events: &[Event]) -> Option<DatasetDeletion> {
    let gone = |name: &Name, version, versions, bytes| DatasetDeletion {
        name: name.clone(),
        version,
        versions,
        bytes,
        jobs: 0,
        queued_tasks: 0,
        running_tasks: 0,
        more: false,
        refusal: None,
    };
    events.iter().find_map(|event| match event {
        Event::Dataset(DatasetEvent::DatasetDeleted {
            name,
            versions,
            bytes,
            ..
        }) => Some(gone(name, None, *versions, *bytes)),
        Event::Dataset(DatasetEvent::DatasetVersionDeleted {
            name,
            version,
            bytes,
            ..
        }) => Some(gone(name, Some(*version), 1, *bytes)),
        _ => None,
    })
}

/// By name.
pub(super) fn list(
    state: &State,
    user: UserId,
    org: OrgId,
    last: Option<&Name>,
) -> Result<Page<DatasetView, Name>, Rejection> {
    let member = policy::member(state, org, user)?;
    let names = state.index.dataset_names.get(&org).into_iter();
    let names = names.flat_map(|names| names.range::<Name, _>(after(last)));
    let key = |(name, _): (&Name, _)| name.clone();
    page(MAX_ROWS, names, key, |(_, id): (_, &DatasetId)| {
        let row = state.datasets.get(id);
        let row = row.filter(|row| policy::may_read_dataset(state, user, member.role, row));
        row.map(|row| view(state, *id, row)).transpose()
    })
}

pub(super) fn show(
    state: &State,
    user: UserId,
    org: OrgId,
    name: &Name,
) -> Result<DatasetView, Rejection> {
    let (_, id, row) = find(state, user, org, name)?;
    view(state, id, row)
}

fn view(state: &State, id: DatasetId, row: &Dataset) -> Result<DatasetView, Rejection> {
    let versions = row.living().map(|(number, version)| {
        Ok(DatasetVersionView {
            version: number,
            tree: version.tree,
            bytes: version.bytes,
            files: version.files,
            created_by: handle(state, version.created_by)?,
            created_at: version.created_at,
        })
    });
    Ok(DatasetView {
        id,
        name: row.name.clone(),
        owner: handle(state, row.owner)?,
        passed_to_org: policy::has_passed(state, row),
        description: row.description.clone(),
        visibility: row.visibility,
        project: name_of(state, row.project),
        versions: versions.collect::<Result<_, Rejection>>()?,
    })
}
