//! Datasets that are there: who deletes, moves and changes them, and what a deletion leaves.

mod moved;
mod projects;
mod restored;
mod swept;
mod warmed;

use std::time::Duration;

use common::{
    api::{
        Answer, Request,
        data::{AddDatasetVersion, DataAnswer, DataRequest, DeleteDataset, SetDataset},
        job::ShowJob,
    },
    code::Code,
    dataset::{DatasetDeletion, DatasetRef},
    id::{DatasetId, UserId},
    job::{JobNumber, JobSpec},
    status::{Role, Visibility},
    time::Timestamp,
    units::Bytes,
};

use super::{
    invariants,
    projects::check,
    views::ask,
    world::{
        ALICE, BOB, CAROL, ORG, World, array, capacity, job_id, name, refused, report, spec, tree,
        user,
    },
};
use crate::{
    Body, Effect, Event, Rejection, command::dataset::DatasetCommand, effects,
    query::dataset::deleted,
};

/// Bob's dataset `digits` that everybody may write, with a version each of bob, carol and bob, and bob's own `maps`.
fn world() -> World {
    let mut world = World::new();
    world.join(4, "dave", Role::Member);
    world.join(5, "erin", Role::Admin);
    world.machine(10, ALICE, "box", report(capacity(8, 16)));
    let shared = Some(Visibility::OrgWrite);
    world.add_version(BOB, 30, "digits", None, shared).unwrap();
    world.add_version(CAROL, 31, "digits", None, None).unwrap();
    world.add_version(BOB, 32, "digits", None, None).unwrap();
    let own = Some(Visibility::Personal);
    world.add_version(BOB, 40, "maps", None, own).unwrap();
    world
}

fn reference(text: &str) -> DatasetRef {
    text.parse().unwrap()
}

fn reading(datasets: &[&str]) -> JobSpec {
    JobSpec {
        datasets: datasets
            .iter()
            .map(|mount| mount.parse().unwrap())
            .collect(),
        ..spec()
    }
}

pub(super) fn body(dataset: &str) -> Body {
    Body::Dataset(DatasetCommand::Delete(deletion(dataset, false)))
}

/// Takes it away for good, by bob.
pub(super) fn purge(world: &mut World, dataset: &str) {
    world.purge(BOB, dataset).unwrap();
}

fn deletion(dataset: &str, now: bool) -> DeleteDataset {
    DeleteDataset {
        org: ORG,
        dataset: reference(dataset),
        now,
    }
}

impl World {
    fn delete_dataset(&mut self, by: UserId, dataset: &str) -> Result<Vec<Event>, Rejection> {
        self.user_does(by, body(dataset))
    }

    /// For good at once.
    fn purge(&mut self, by: UserId, dataset: &str) -> Result<Vec<Event>, Rejection> {
        let command = DatasetCommand::Delete(deletion(dataset, true));
        self.user_does(by, Body::Dataset(command))
    }

    /// Has carol make a dataset with the same content as the first version of bob's.
    fn copy(&mut self) {
        let body = Body::AddDatasetVersion {
            dataset: DatasetId::from_bytes([90; 16]),
            request: AddDatasetVersion {
                org: ORG,
                name: name("copy"),
                tree: tree(30),
                description: None,
                visibility: None,
                project: None,
            },
            bytes: Bytes::mib(1),
            files: 1,
        };
        self.user_does(CAROL, body).unwrap();
    }

    /// Returns the moment so many days from now.
    fn after(&self, days: u64) -> Timestamp {
        let span = Duration::from_secs(days * 86_400);
        self.now.saturating_add(span)
    }

    fn preview(&self, by: UserId, dataset: &str) -> DatasetDeletion {
        let request = DataRequest::PreviewDeletion(deletion(dataset, false));
        match ask(self, by, &Request::Data(request)) {
            Ok(Answer::Data(DataAnswer::Deletion(preview))) => preview,
            other => panic!("{other:?}"),
        }
    }

    fn versions(&self, by: UserId, dataset: &str) -> Vec<u32> {
        let show = Request::ShowDataset {
            org: ORG,
            name: name(dataset),
        };
        match ask(self, by, &show) {
            Ok(Answer::Dataset(view)) => view.versions.iter().map(|one| one.version).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// Returns what the org's limits say is kept of datasets.
    fn kept(&self) -> Bytes {
        self.state
            .index
            .orgs
            .get(&ORG)
            .map_or(Bytes::ZERO, |used| used.datasets.bytes())
    }
}

#[test]
fn owners_and_admins_delete_datasets_and_whoever_made_a_version_that() {
    let mut world = world();
    for (who, code, dataset) in [
        (CAROL, Code::NotFound, "maps"),
        (CAROL, Code::NotFound, "maps@1"),
        (CAROL, Code::Permission, "digits"),
        (CAROL, Code::Permission, "digits@1"),
        (BOB, Code::NotFound, "digits@4"),
        (BOB, Code::NotFound, "other"),
        (BOB, Code::WrongState, "maps@1"),
        (user(77), Code::NotFound, "digits"),
    ] {
        check(&mut world, &code, "", |world| {
            world.delete_dataset(who, dataset)
        });
    }
    let only = refused(world.delete_dataset(BOB, "maps@1"));
    assert!(only.help.contains("dataset delete maps"), "{only:?}");
    world.delete_dataset(CAROL, "digits@2").unwrap();
    assert_eq!(world.versions(CAROL, "digits"), [1, 3]);
    check(
        &mut world,
        &Code::NotFound,
        "that version was deleted",
        |world| world.delete_dataset(CAROL, "digits@2"),
    );

    // Where others may only read, they may not delete what they made.
    world.add_version(CAROL, 33, "digits", None, None).unwrap();
    world.set_visibility(BOB, Visibility::OrgRead).unwrap();
    check(
        &mut world,
        &Code::Permission,
        "change or delete datasets",
        |world| world.delete_dataset(CAROL, "digits@4"),
    );
    // An admin deletes what they do not own, whoever sees it.
    world.delete_dataset(user(5), "maps").unwrap();
    world.delete_dataset(BOB, "digits").unwrap();
    assert!(world.state.index.dataset_names.is_empty());
    invariants::check(&world);
}

impl World {
    fn set_visibility(&mut self, by: UserId, seen: Visibility) -> Result<Vec<Event>, Rejection> {
        let set = SetDataset {
            org: ORG,
            name: name("digits"),
            description: None,
            visibility: Some(seen),
        };
        self.user_does(by, Body::Dataset(DatasetCommand::Set(set)))
    }
}

#[test]
fn a_deleted_version_leaves_its_number_and_the_newest_is_what_is_there() {
    let mut world = world();
    world.delete_dataset(BOB, "digits@3").unwrap();
    world.submit(BOB, 50, reading(&["digits:/data"])).unwrap();
    assert_eq!(world.state.jobs[&job_id(50)].pinned[0].version, 2);
    check(
        &mut world,
        &Code::NotFound,
        "no dataset digits@3",
        |world| world.submit(BOB, 51, reading(&["digits@3:/data"])),
    );
    // The same content as what is newest now is no new version; what was deleted comes back under another number.
    let events = world.add_version(CAROL, 31, "digits", None, None).unwrap();
    assert_eq!(events, []);
    world.add_version(BOB, 32, "digits", None, None).unwrap();
    assert_eq!(world.versions(BOB, "digits"), [1, 2, 4]);
    invariants::check(&world);
}

#[test]
fn a_dataset_is_as_old_as_its_first_version_also_without_it() {
    let mut world = world();
    world.wait(60);
    world.add_version(BOB, 33, "maps", None, None).unwrap();
    let made_at = |world: &World| {
        let id = world.state.index.dataset_names[&ORG][&name("maps")];
        world.state.datasets[&id].created_at()
    };
    let before = made_at(&world);
    world.delete_dataset(BOB, "maps@1").unwrap();
    // Whose it is hangs on it: what somebody made before they left is the org's.
    assert_eq!(made_at(&world), before);
    assert_eq!(world.versions(BOB, "maps"), [2]);
    invariants::check(&world);
}

#[test]
fn what_a_job_reads_is_not_pulled_away_before_it_has_ended() {
    let mut world = world();
    let three = JobSpec {
        array: array(3, Some(1)).array,
        ..reading(&["digits@1:/one", "digits@3:/three"])
    };
    world.submit(BOB, 50, three).unwrap();
    world
        .submit(CAROL, 51, reading(&["digits@3:/data"]))
        .unwrap();
    let placed = world.schedule();
    let shown = world.preview(BOB, "digits");
    assert_eq!(
        (shown.jobs, shown.running_tasks, shown.queued_tasks),
        (2, 2, 2),
        "a job is counted once, whatever it reads"
    );
    assert_eq!((shown.versions, shown.bytes), (3, Bytes::mib(3)));
    let one = world.preview(BOB, "digits@1");
    assert_eq!(
        (one.jobs, one.version, one.bytes),
        (1, Some(1), Bytes::mib(1))
    );
    for (dataset, words) in [
        (
            "digits",
            "2 jobs still use it (job 1 of bob, job 2 of carol); tasks running: 2, queued: 2",
        ),
        (
            "digits@1",
            "1 job still uses it (job 1 of bob); tasks running: 1, queued: 2",
        ),
    ] {
        check(&mut world, &Code::InUse, words, |world| {
            world.delete_dataset(ALICE, dataset)
        });
        // Who looks before is told the same.
        let told = world.preview(ALICE, dataset).refusal;
        assert_eq!(told, Some(refused(world.delete_dataset(ALICE, dataset))));
    }
    assert_eq!(world.preview(BOB, "digits@2").refusal, None);
    // Who may not see a job is not told whose it is.
    let told = refused(world.delete_dataset(BOB, "digits")).why;
    let own = "2 jobs still use it (job 1 of bob, others); tasks running: 2, queued: 2";
    assert_eq!(told, own);
    // Nothing reads the second version.
    world.delete_dataset(BOB, "digits@2").unwrap();

    world.cancel(BOB, 1, None).unwrap();
    check(&mut world, &Code::InUse, "2 jobs", |world| {
        world.delete_dataset(BOB, "digits")
    });
    for (attempt, _) in placed {
        world.succeed(attempt);
    }
    world.schedule();
    world.delete_dataset(BOB, "digits").unwrap();
    assert!(world.state.index.readers.is_empty());

    // What has ended goes on saying what it read.
    let show = ShowJob {
        org: ORG,
        number: JobNumber(2),
        task: None,
        attempts: 10,
        live: false,
    };
    let Ok(Answer::Job(job)) = ask(&world, CAROL, &Request::ShowJob(show)) else {
        panic!("job 2 is there");
    };
    assert_eq!(job.spec.datasets[0].dataset, reference("digits@3"));
    invariants::check(&world);
}

#[test]
fn a_deletion_is_told_of_and_what_is_kept_goes_down() {
    let mut world = world();
    // The same content as a version of digits.
    world.copy();
    assert_eq!(world.kept(), Bytes::mib(4));
    let events = world.delete_dataset(BOB, "digits").unwrap();
    assert_eq!(world.kept(), Bytes::mib(4), "it can be brought back");
    assert_eq!(deleted(&events).unwrap().kept_until, Some(world.after(7)));
    let events = world.purge(BOB, "digits").unwrap();
    assert_eq!(world.kept(), Bytes::mib(2), "the copy's and the maps'");
    let gone = deleted(&events).unwrap();
    assert_eq!(
        (gone.name, gone.versions, gone.bytes),
        (name("digits"), 3, Bytes::mib(3))
    );
    assert!(effects(&world.state, &events[0]).contains(&Effect::Sweep));
    let told = serde_json::to_value(&events[0]).unwrap();
    assert_eq!(told["event"], "dataset_purged");
    assert_eq!(told.get("trees"), None, "the trail does not name them all");
    assert_eq!(events[0].touched().len(), 4, "the dataset and three trees");

    // The name is free, and no number of it means other files than it did.
    world.add_version(CAROL, 34, "digits", None, None).unwrap();
    assert_eq!(world.versions(CAROL, "digits"), [4]);
    invariants::check(&world);
}
