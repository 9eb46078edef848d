//! Datasets in random histories: versions come, of a project or of none, datasets move and are restricted, versions and
//! whole datasets go, and sweeps deal with what they leave.

use common::{
    api::{
        data::{AddDatasetVersion, DeleteDataset, MoveDataset, RestoreDataset},
        project::SetProject,
    },
    dataset::DatasetRef,
    id::{DatasetId, UserId},
    status::{Access, CopyOut, DeleteBy, Visibility},
    units::Bytes,
};
use proptest::prelude::*;

use super::rules::PROJECT;
use crate::{
    Actor, Body, Event, Rejection,
    command::dataset::DatasetCommand,
    policy,
    query::access::leftovers,
    tests::{
        projects::setting,
        world::{ALICE, ORG, World, name, tree},
    },
};

/// What jobs of histories read, where they read anything.
pub(super) const READ: &str = "digits";

#[derive(Debug, Clone)]
pub(super) enum DataStep {
    Add {
        by: usize,
        other: bool,
        tree: u8,
        inside: bool,
    },
    Move {
        by: usize,
        other: bool,
        inside: bool,
    },
    /// What the project says of its data.
    Restrict { closed: bool },
    Delete {
        by: usize,
        other: bool,
        version: Option<u32>,
        now: bool,
    },
    Restore {
        by: usize,
        other: bool,
        version: Option<u32>,
        under: bool,
    },
    /// Some days pass, and what is due goes.
    Expire { days: u64 },
    /// Of what lies there now.
    Sweep,
}

pub(super) fn data_step() -> impl Strategy<Value = DataStep> {
    let other = || prop::bool::weighted(0.3);
    prop_oneof![
        5 => (0..3usize, other(), 1..4u8, prop::bool::weighted(0.3))
            .prop_map(|(by, other, tree, inside)| DataStep::Add { by, other, tree, inside }),
        3 => (0..3usize, other(), any::<bool>())
            .prop_map(|(by, other, inside)| DataStep::Move { by, other, inside }),
        1 => any::<bool>().prop_map(|closed| DataStep::Restrict { closed }),
        3 => (0..3usize, other(), prop::option::weighted(0.6, 1..6u32), prop::bool::weighted(0.2))
            .prop_map(|(by, other, version, now)| DataStep::Delete { by, other, version, now }),
        2 => (0..3usize, other(), prop::option::weighted(0.5, 1..6u32), prop::bool::weighted(0.2))
            .prop_map(|(by, other, version, under)| DataStep::Restore { by, other, version, under }),
        1 => (1..9u64).prop_map(|days| DataStep::Expire { days }),
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
            inside,
        } => {
            let body = Body::AddDatasetVersion {
                dataset: DatasetId::from_bytes([fresh; 16]),
                request: AddDatasetVersion {
                    org: ORG,
                    name: name(called(other)),
                    tree: tree(number),
                    description: None,
                    visibility: None,
                    project: inside.then(|| name(PROJECT)),
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
        DataStep::Move { by, other, inside } => relocate(world, users[by], other, inside),
        DataStep::Restrict { closed } => {
            let (copy_out, delete) = if closed {
                (CopyOut::None, DeleteBy::Admins)
            } else {
                (CopyOut::All, DeleteBy::Contributors)
            };
            let set = SetProject {
                copy_out: Some(copy_out),
                delete: Some(delete),
                ..setting(PROJECT)
            };
            world.restrict(ALICE, set)
        }
        DataStep::Delete {
            by,
            other,
            version,
            now,
        } => {
            let dataset = DatasetRef {
                name: name(called(other)),
                version,
            };
            let command = DatasetCommand::Delete(DeleteDataset {
                org: ORG,
                dataset,
                now,
            });
            world.user_does(users[by], Body::Dataset(command))
        }
        DataStep::Restore {
            by,
            other,
            version,
            under,
        } => {
            let command = DatasetCommand::Restore(RestoreDataset {
                org: ORG,
                dataset: DatasetRef {
                    name: name(called(other)),
                    version,
                },
                under: under.then(|| name("found")),
            });
            world.user_does(users[by], Body::Dataset(command))
        }
        DataStep::Expire { days } => {
            world.wait(days * 86_400);
            world.run(Actor::System, Body::ExpireData { most: 2 })
        }
        DataStep::Sweep => {
            let found = leftovers(&world.state);
            for (_, tree) in &found.trees {
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

/// Moves a dataset; checks that it is where it was sent, and that who took another's out of a project administers that.
fn relocate(
    world: &mut World,
    by: UserId,
    other: bool,
    inside: bool,
) -> Result<Vec<Event>, Rejection> {
    let home = |world: &World| {
        let names = world.state.index.dataset_names.get(&ORG);
        let id = names.and_then(|names| names.get(&name(called(other))))?;
        Some((
            world.state.datasets[id].owner,
            world.state.datasets[id].project,
        ))
    };
    let before = home(world);
    let request = MoveDataset {
        org: ORG,
        name: name(called(other)),
        project: inside.then(|| name(PROJECT)),
    };
    let moved = world.user_does(by, Body::Dataset(DatasetCommand::Move(request)))?;
    let after = home(world).expect("a dataset that moved is there");
    assert_eq!(after.1.is_some(), inside, "a dataset is where it was sent");
    if let Some((owner, Some(project))) = before
        && !inside
        && owner != by
    {
        let access = policy::project::access(&world.state, project, by);
        assert_eq!(
            access,
            Some(Access::Administer),
            "another's data was taken away"
        );
    }
    Ok(moved)
}
