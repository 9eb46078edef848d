//! Datasets in random histories: versions come, versions and whole datasets go, and sweeps deal with what they leave.

use common::{
    api::data::AddDatasetVersion,
    dataset::DatasetRef,
    id::{DatasetId, UserId},
    status::Visibility,
    units::Bytes,
};
use proptest::prelude::*;

use crate::{
    Actor, Body, Event, Rejection,
    command::dataset::DatasetCommand,
    query::access::leftovers,
    tests::world::{ORG, World, name, tree},
};

/// What jobs of histories read, where they read anything.
pub(super) const READ: &str = "digits";

#[derive(Debug, Clone)]
pub(super) enum DataStep {
    Add {
        by: usize,
        other: bool,
        tree: u8,
    },
    Delete {
        by: usize,
        other: bool,
        version: Option<u32>,
    },
    /// Of what lies there now.
    Sweep,
}

pub(super) fn data_step() -> impl Strategy<Value = DataStep> {
    let other = || prop::bool::weighted(0.3);
    prop_oneof![
        5 => (0..3usize, other(), 1..4u8)
            .prop_map(|(by, other, tree)| DataStep::Add { by, other, tree }),
        3 => (0..3usize, other(), prop::option::weighted(0.6, 1..4u32))
            .prop_map(|(by, other, version)| DataStep::Delete { by, other, version }),
        1 => Just(DataStep::Sweep),
    ]
}

fn called(other: bool) -> &'static str {
    if other { "maps" } else { READ }
}

pub(super) fn take(
    world: &mut World,
    users: &[UserId; 3],
    fresh: u8,
    step: &DataStep,
) -> Result<Vec<Event>, Rejection> {
    match *step {
        DataStep::Add {
            by,
            other,
            tree: number,
        } => {
            let body = Body::AddDatasetVersion {
                dataset: DatasetId::from_bytes([fresh; 16]),
                request: AddDatasetVersion {
                    org: ORG,
                    name: name(called(other)),
                    tree: tree(number),
                    description: None,
                    visibility: None,
                    project: None,
                },
                bytes: Bytes::mib(u64::from(number)),
                files: 1,
            };
            let added = world.user_does(users[by], body)?;
            // Shared, so that others add to it and delete what they made.
            let share = Body::Dataset(DatasetCommand::Set(common::api::data::SetDataset {
                org: ORG,
                name: name(called(other)),
                description: None,
                visibility: Some(Visibility::OrgWrite),
            }));
            world.user_does(users[by], share).ok();
            Ok(added)
        }
        DataStep::Delete { by, other, version } => {
            let dataset = DatasetRef {
                name: name(called(other)),
                version,
            };
            let command = DatasetCommand::Delete { org: ORG, dataset };
            world.user_does(users[by], Body::Dataset(command))
        }
        DataStep::Sweep => {
            let found = leftovers(&world.state);
            for tree in &found.trees {
                let jobs = world.state.jobs.iter();
                let mut open = jobs.filter(|(id, _)| world.state.progress[*id].ended_at.is_none());
                assert!(
                    open.all(|(_, job)| job.trees().all(|read| read != *tree)),
                    "a sweep takes what a job reads"
                );
            }
            world.run(Actor::System, Body::FinishDiscarding(found.discarded))
        }
    }
}
