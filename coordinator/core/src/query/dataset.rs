//! Datasets as people see them.

use common::{
    dataset::{DatasetVersionView, DatasetView},
    id::{DatasetId, OrgId, UserId},
    name::Name,
};

use super::{handle, most};
use crate::{
    decide::project::name_of,
    policy,
    rejection::Rejection,
    state::{State, dataset::Dataset},
};

/// By name.
pub(super) fn list(state: &State, user: UserId, org: OrgId) -> Result<Vec<DatasetView>, Rejection> {
    let member = policy::member(state, org, user)?;
    let names = state.index.dataset_names.get(&org);
    names
        .into_iter()
        .flat_map(|names| names.values())
        .filter_map(|id| Some((*id, state.datasets.get(id)?)))
        .filter(|(_, row)| policy::may_read_dataset(state, user, member.role, row))
        .take(most(u32::MAX))
        .map(|(id, row)| view(state, id, row))
        .collect()
}

pub(super) fn show(
    state: &State,
    user: UserId,
    org: OrgId,
    name: &Name,
) -> Result<DatasetView, Rejection> {
    let (id, row) = find(state, user, org, name)?;
    view(state, id, row)
}

/// Returns the dataset of this name, if the user may read it.
pub(super) fn find<'a>(
    state: &'a State,
    user: UserId,
    org: OrgId,
    name: &Name,
) -> Result<(DatasetId, &'a Dataset), Rejection> {
    let member = policy::member(state, org, user)?;
    let names = state.index.dataset_names.get(&org);
    let found = names.and_then(|names| {
        let id = names.get(name)?;
        Some((*id, state.datasets.get(id)?))
    });
    found
        .filter(|(_, row)| policy::may_read_dataset(state, user, member.role, row))
        .ok_or_else(|| Rejection::NoSuchDataset { name: name.clone() })
}

fn view(state: &State, id: DatasetId, row: &Dataset) -> Result<DatasetView, Rejection> {
    let versions = (1..).zip(&row.versions).map(|(number, version)| {
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
