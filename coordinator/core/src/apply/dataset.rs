//! Datasets and their versions.

use common::{id::OrgId, status::Visibility};

use crate::{
    event::{Event, dataset::DatasetEvent},
    state::{
        State,
        dataset::{Dataset, DatasetVersion},
    },
};

pub(super) fn add_version(state: &mut State, event: &Event) {
    if let Event::DatasetVersionAdded {
        dataset,
        org,
        name,
        project,
        user,
        version: _,
        tree,
        bytes,
        files,
        description,
        visibility,
        at,
    } = event
    {
        let names = state.index.dataset_names.entry(*org).or_default();
        names.insert(name.clone(), *dataset);
        let row = state.datasets.entry(*dataset).or_insert_with(|| Dataset {
            org: *org,
            name: name.clone(),
            owner: *user,
            description: String::new(),
            visibility: *visibility,
            project: *project,
            versions: Vec::new(),
        });
        if !row.versions.is_empty() {
            state.index.belongings.dataset_out(row);
        }
        row.description.clone_from(description);
        row.visibility = *visibility;
        let version = DatasetVersion {
            tree: *tree,
            bytes: *bytes,
            files: *files,
            created_by: *user,
            created_at: *at,
            deleted_at: None,
        };
        state.index.version_in(*org, &version);
        row.versions.push(version);
        state.index.belongings.dataset_in(row);
    }
}

pub(super) fn apply(state: &mut State, event: &DatasetEvent) {
    match event {
        DatasetEvent::DatasetChanged { dataset, after, .. } => {
            if let Some(row) = state.datasets.get_mut(dataset) {
                row.description.clone_from(&after.description);
                row.visibility = after.visibility;
            }
        }
        DatasetEvent::DatasetMoved {
            dataset, project, ..
        } => {
            if let Some(row) = state.datasets.get_mut(dataset) {
                row.project = *project;
                row.visibility = Visibility::Personal;
            }
        }
        DatasetEvent::DatasetDeleted { dataset, org, .. } => {
            let Some(row) = state.datasets.remove(dataset) else {
                return;
            };
            state.index.belongings.dataset_out(&row);
            if let Some(names) = state.index.dataset_names.get_mut(org) {
                names.remove(&row.name);
                if names.is_empty() {
                    state.index.dataset_names.remove(org);
                }
            }
            for (_, version) in row.living() {
                discard(state, *org, version);
            }
        }
        DatasetEvent::DatasetVersionDeleted {
            dataset,
            org,
            version,
            at,
            ..
        } => {
            let Some(row) = state.datasets.get_mut(dataset) else {
                return;
            };
            state.index.belongings.dataset_out(row);
            let gone = row.delete(*version, *at);
            state.index.belongings.dataset_in(row);
            if let Some(gone) = gone {
                discard(state, *org, &gone);
            }
        }
        DatasetEvent::DatasetFilesDeleted { org, trees, .. } => {
            for tree in trees {
                state.discarded.remove(&(*org, *tree));
            }
        }
    }
}

/// Leaves a deleted version to the next sweep.
fn discard(state: &mut State, org: OrgId, version: &DatasetVersion) {
    state.index.version_out(org, version);
    let row = state.discarded.entry((org, version.tree)).or_default();
    row.times = row.times.saturating_add(1);
}
