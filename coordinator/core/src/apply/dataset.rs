//! Datasets and their versions.

use std::collections::BTreeMap;

use common::{
    id::{DatasetId, MachineId, OrgId, TreeId, UserId},
    machine::MAX_CACHED_TREES,
    name::Name,
    status::Visibility,
    time::Timestamp,
};

use crate::{
    event::{
        Event,
        dataset::{DatasetEvent, WarmEnd},
    },
    state::{
        State,
        dataset::{Dataset, DatasetVersion, Deleted, PastName},
        machine::Warm,
        pool,
    },
};

pub(super) fn add_version(state: &mut State, event: &Event) {
    if let Event::DatasetVersionAdded {
        dataset,
        org,
        name,
        project,
        user,
        version,
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
            first: *version,
            deleted: None,
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
            deleted: None,
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
        DatasetEvent::DatasetDeleted {
            dataset,
            by,
            at,
            until,
            ..
        } => change(state, *dataset, |row, past| {
            row.deleted = Some(deleted(*by, *at, *until));
            let name = past.entry((row.org, row.name.clone()));
            let past = name.or_insert(PastName { next: 1 });
            past.next = past.next.max(row.next());
        }),
        DatasetEvent::DatasetVersionDeleted {
            dataset,
            version,
            by,
            at,
            until,
            ..
        } => change(state, *dataset, |row, _| {
            row.delete(*version, *at, Some(deleted(*by, *at, *until)));
        }),
        DatasetEvent::DatasetRestored { dataset, name, .. } => {
            change(state, *dataset, |row, _| {
                row.deleted = None;
                row.name.clone_from(name);
            });
        }
        DatasetEvent::DatasetVersionRestored {
            dataset, version, ..
        } => change(state, *dataset, |row, _| row.restore(*version)),
        DatasetEvent::DatasetPurged {
            dataset,
            org,
            version,
            trees,
            at,
            ..
        } => {
            match version {
                Some(version) => {
                    change(state, *dataset, |row, _| row.delete(*version, *at, None));
                }
                None => {
                    if let Some(row) = state.datasets.remove(dataset) {
                        state.index.dataset_out(*dataset, &row);
                    }
                }
            }
            for tree in trees {
                discard(state, *org, *tree);
            }
        }
        DatasetEvent::DatasetFilesDeleted { org, trees, .. } => {
            for tree in trees {
                state.discarded.remove(&(*org, *tree));
            }
        }
        DatasetEvent::DatasetWarmed {
            machine,
            dataset,
            tree,
            until,
            ..
        } => {
            let warm = Warm {
                tree: *tree,
                dataset: dataset.clone(),
                until: *until,
                failed: None,
            };
            rewarm(state, *machine, *tree, Some(warm));
        }
        DatasetEvent::DatasetWarmEnded {
            machine, tree, end, ..
        } => {
            let row = state.machines.get(machine);
            let warm = row.and_then(|row| row.warm.iter().find(|warm| warm.tree == *tree));
            let kept = match (warm, end) {
                (Some(warm), WarmEnd::Failed(failure)) => Some(Warm {
                    failed: Some(failure.clone()),
                    ..warm.clone()
                }),
                _ => None,
            };
            rewarm(state, *machine, *tree, kept);
            if *end == WarmEnd::There
                && let Some(report) = state.reports.get_mut(machine)
                && let Err(place) = report.cached.binary_search(tree)
                && report.cached.len() < MAX_CACHED_TREES
            {
                // The machine's next report says so, too.
                report.cached.insert(place, *tree);
                pool::refresh(state, *machine);
            }
        }
    }
}

/// Puts what is wanted of a tree on a machine in the place of what was.
fn rewarm(state: &mut State, machine: MachineId, tree: TreeId, warm: Option<Warm>) {
    if let Some(row) = state.machines.get_mut(&machine) {
        row.warm.retain(|warm| warm.tree != tree);
        row.warm.extend(warm);
        row.warm.sort_by_key(|warm| warm.tree);
        row.generation += 1;
    }
}

/// Changes a row, and what follows from it. Seldom: a dataset is walked with all its versions.
fn change(
    state: &mut State,
    id: DatasetId,
    change: impl FnOnce(&mut Dataset, &mut BTreeMap<(OrgId, Name), PastName>),
) {
    let Some(row) = state.datasets.get_mut(&id) else {
        return;
    };
    state.index.dataset_out(id, row);
    change(row, &mut state.past_names);
    state.index.dataset_in(id, row);
}

const fn deleted(by: UserId, at: Timestamp, until: Timestamp) -> Deleted {
    Deleted { by, at, until }
}

/// Leaves what nobody gets at any more to the next sweep.
pub(super) fn discard(state: &mut State, org: OrgId, tree: TreeId) {
    let row = state.discarded.entry((org, tree)).or_default();
    row.times = row.times.saturating_add(1);
}
