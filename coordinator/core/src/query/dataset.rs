//! Datasets as people see them.

use common::{
    api::{
        MAX_ROWS,
        data::{DataAnswer, DataRequest, WarmDataset, WarmState, WarmView},
        page::Page,
    },
    dataset::{
        DatasetDeletion, DatasetRef, DatasetVersionView, DatasetView, DeletedKey, DeletedView,
    },
    id::{DatasetId, OrgId, UserId},
    name::Name,
    time::Timestamp,
    units::Bytes,
};

use super::{
    handle,
    page::{after, page},
};
use crate::{
    decide::{
        dataset::{
            deletion, find,
            warm::{Wish, wish},
        },
        project::name_of,
    },
    event::{Event, dataset::DatasetEvent},
    policy,
    rejection::Rejection,
    schedule::data::fetch_time,
    state::{
        State,
        dataset::Dataset,
        machine::{Warm, WarmFailure},
    },
};

/// Answers what only asks, and `None` what does not.
pub(super) fn answer(
    state: &State,
    now: Timestamp,
    user: UserId,
    request: &DataRequest,
) -> Result<Option<DataAnswer>, Rejection> {
    Ok(match request {
        DataRequest::PreviewDeletion(delete) => {
            let preview = deletion::preview(state, now, user, delete)?;
            Some(DataAnswer::Deletion(preview))
        }
        DataRequest::ListDeleted { org, after } => {
            let page = list_deleted(state, user, *org, after.as_ref())?;
            Some(DataAnswer::ListDeleted(page))
        }
        DataRequest::ShowWarm(request) => Some(DataAnswer::Warm(warm(state, user, request)?)),
        DataRequest::Delete(_)
        | DataRequest::Warm(_)
        | DataRequest::Set(_)
        | DataRequest::Move(_)
        | DataRequest::Restore(_)
        | DataRequest::Verify(_) => None,
    })
}

/// Returns how far a version is that is to be on a machine.
fn warm(state: &State, user: UserId, request: &WarmDataset) -> Result<WarmView, Rejection> {
    let Wish {
        machine,
        row,
        pinned,
    } = wish(state, user, request)?;
    let report = state.reports.get(&machine);
    let there = report.is_some_and(|report| report.cached.binary_search(&pinned.tree).is_ok());
    let wanted = row.warm.iter().find(|warm| warm.tree == pinned.tree);
    let dataset = state.datasets.get(&pinned.dataset);
    let version = dataset.and_then(|row| Some(row.version(Some(pinned.version))?.1));
    let bytes = version.map_or(Bytes::ZERO, |version| version.bytes);
    Ok(WarmView {
        dataset: pinned.reference(),
        machine: row.name.clone(),
        bytes,
        state: match wanted {
            _ if there => WarmState::There,
            None => WarmState::NotWanted,
            Some(Warm {
                failed: Some(WarmFailure { kind, why }),
                ..
            }) => WarmState::Failed {
                code: kind.clone(),
                why: why.clone(),
            },
            Some(Warm { until, .. }) => WarmState::Coming { until: *until },
        },
        fetch_time: fetch_time(bytes, report),
    })
}

/// Returns what went, as these events say.
pub fn deleted(events: &[Event]) -> Option<DatasetDeletion> {
    let gone = |name: &Name, version, versions, bytes, kept_until| DatasetDeletion {
        name: name.clone(),
        version,
        versions,
        bytes,
        jobs: 0,
        queued_tasks: 0,
        running_tasks: 0,
        more: false,
        kept_until,
        refusal: None,
    };
    // Where something went for good, that is what happened last.
    events.last().and_then(|event| match event {
        Event::Dataset(DatasetEvent::DatasetDeleted {
            name,
            versions,
            bytes,
            until,
            ..
        }) => Some(gone(name, None, *versions, *bytes, Some(*until))),
        Event::Dataset(DatasetEvent::DatasetVersionDeleted {
            name,
            version,
            bytes,
            until,
            ..
        }) => Some(gone(name, Some(*version), 1, *bytes, Some(*until))),
        Event::Dataset(DatasetEvent::DatasetPurged {
            name,
            version,
            versions,
            bytes,
            ..
        }) => Some(gone(name, *version, *versions, *bytes, None)),
        _ => None,
    })
}

/// What can be brought back of what the user may read, and what goes first at the top.
fn list_deleted(
    state: &State,
    user: UserId,
    org: OrgId,
    last: Option<&DeletedKey>,
) -> Result<Page<DeletedView, DeletedKey>, Rejection> {
    let member = policy::member(state, org, user)?;
    let last = last.map(|key| (key.kept_until, key.dataset, key.version));
    let ends = state.index.ends.get(&org).into_iter();
    let ends = ends.flat_map(|ends| ends.range(after(last.as_ref())));
    let key = |(kept_until, dataset, version): &(Timestamp, DatasetId, u32)| DeletedKey {
        kept_until: *kept_until,
        dataset: *dataset,
        version: *version,
    };
    page(MAX_ROWS, ends, key, |(_, id, version)| {
        let row = state.datasets.get(id);
        let row = row.filter(|row| policy::may_read_dataset(state, user, member.role, row));
        row.and_then(|row| deleted_view(state, *id, row, *version))
            .transpose()
    })
}

/// Returns nothing for a version of a dataset that was deleted itself: it comes back with that, or not.
fn deleted_view(
    state: &State,
    id: DatasetId,
    row: &Dataset,
    number: u32,
) -> Option<Result<DeletedView, Rejection>> {
    let (deleted, version, versions, bytes) = match number {
        0 => (row.deleted?, None, row.count(), Bytes(row.bytes())),
        _ if row.deleted.is_some() => return None,
        _ => {
            let version = row.any_version(number)?;
            (version.deleted?, Some(number), 1, version.bytes)
        }
    };
    Some(handle(state, deleted.by).map(|deleted_by| DeletedView {
        dataset: id,
        name: row.name.clone(),
        version,
        versions,
        bytes,
        deleted_by,
        deleted_at: deleted.at,
        kept_until: deleted.until,
    }))
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

/// Returns the number of the version that is meant.
///
/// # Errors
/// There is none that the user may see.
pub fn pinned(
    state: &State,
    user: UserId,
    org: OrgId,
    wanted: &DatasetRef,
) -> Result<u32, Rejection> {
    let (_, _, row) = find(state, user, org, &wanted.name)?;
    let version = row.version(wanted.version);
    let (number, _) = version.ok_or_else(|| Rejection::no_such_version(row, wanted))?;
    Ok(number)
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
