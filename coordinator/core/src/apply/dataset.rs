//! Datasets and their versions.

use crate::{
    event::Event,
    state::{
        State,
        dataset::{Dataset, DatasetVersion},
    },
};

pub(super) fn apply(state: &mut State, event: &Event) {
    match event {
        Event::DatasetVersionAdded {
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
        } => {
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
            };
            state.index.version_in(*org, &version);
            row.versions.push(version);
            state.index.belongings.dataset_in(row);
        }
        Event::DatasetChanged {
            dataset,
            description,
            visibility,
            ..
        } => {
            if let Some(row) = state.datasets.get_mut(dataset) {
                row.description.clone_from(description);
                row.visibility = *visibility;
            }
        }
        _ => {}
    }
}
