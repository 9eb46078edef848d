//! Projects and who may do what in them.

use common::weight::Weight;

use crate::{
    event::project::ProjectEvent,
    state::{
        State,
        project::{Grant, Project},
    },
};

pub(super) fn apply(state: &mut State, event: &ProjectEvent) {
    match event {
        ProjectEvent::ProjectCreated {
            project,
            org,
            name,
            description,
            restrictions,
            created_by,
            at,
        } => {
            let names = state.index.project_names.entry(*org).or_default();
            names.insert(name.clone(), *project);
            let row = Project {
                org: *org,
                name: name.clone(),
                description: description.clone(),
                created_by: *created_by,
                created_at: *at,
                archived_at: None,
                restrictions: *restrictions,
                everyone: None,
                weight: Weight::ONE,
            };
            state.projects.insert(*project, row);
        }
        ProjectEvent::ProjectAccessChanged {
            project,
            user,
            after,
            by,
            at,
            ..
        } => match (user, after) {
            (Some(user), Some(access)) => {
                let grant = Grant {
                    access: *access,
                    by: *by,
                    at: *at,
                };
                state.grants.insert((*project, *user), grant);
            }
            (Some(user), None) => drop(state.grants.remove(&(*project, *user))),
            (None, access) => {
                if let Some(row) = state.projects.get_mut(project) {
                    row.everyone = *access;
                }
            }
        },
        ProjectEvent::ProjectChanged { project, after, .. } => {
            if let Some(row) = state.projects.get_mut(project) {
                row.description.clone_from(&after.description);
                row.restrictions = after.restrictions;
            }
        }
        ProjectEvent::ProjectWeightSet { project, after, .. } => {
            if let Some(row) = state.projects.get_mut(project) {
                row.weight = *after;
            }
        }
        ProjectEvent::ProjectArchived { project, org, at } => {
            // What was kept for a job of it is for others.
            state.volatile.due.insert(*org);
            if let Some(row) = state.projects.get_mut(project) {
                row.archived_at = Some(*at);
            }
        }
        ProjectEvent::ProjectReopened { project, org } => {
            // What waited in it may start.
            state.volatile.due.insert(*org);
            if let Some(row) = state.projects.get_mut(project) {
                row.archived_at = None;
            }
        }
    }
}
