//! What was deleted comes back, or goes for good when its time has come.

use common::{
    api::{
        Answer, Request,
        data::{DataAnswer, DataRequest, RestoreDataset},
    },
    code::Code,
    dataset::{DeletedKey, DeletedView},
    id::{DatasetId, TreeId, UserId},
    name::InvalidName,
    units::Bytes,
};

use super::{
    super::{
        invariants,
        projects::{DAVE, check},
        views::ask,
        world::{ALICE, BOB, CAROL, ORG, World, name, tree, user},
    },
    reading, reference, world,
};
use crate::{
    Actor, Body, Effect, Event, Rejection,
    command::{OrgCommand, dataset::DatasetCommand},
    effects,
    query::{access::leftovers, dataset::deleted},
};

const DAY: u64 = 86_400;

impl World {
    fn restore(
        &mut self,
        by: UserId,
        dataset: &str,
        under: Option<&str>,
    ) -> Result<Vec<Event>, Rejection> {
        let under: Result<Option<_>, InvalidName> = under.map(str::parse).transpose();
        let command = DatasetCommand::Restore(RestoreDataset {
            org: ORG,
            dataset: reference(dataset),
            under: under.unwrap(),
        });
        self.user_does(by, Body::Dataset(command))
    }

    pub(in crate::tests) fn expire_data(&mut self) -> Vec<Event> {
        self.must(Actor::System, Body::ExpireData { most: 100 })
    }

    fn listed(&self, by: UserId, after: Option<DeletedKey>) -> Vec<DeletedView> {
        let request = DataRequest::ListDeleted { org: ORG, after };
        match ask(self, by, &Request::Data(request)) {
            Ok(Answer::Data(DataAnswer::ListDeleted(page))) => page.rows,
            other => panic!("{other:?}"),
        }
    }

    pub(in crate::tests) fn kept_for(&mut self, setting: &str, value: &str) {
        let mut change = common::org::settings::SettingsChange::default();
        change.set(setting, value).unwrap();
        let change = Box::new(change);
        let command = OrgCommand::ChangeSettings { org: ORG, change };
        self.must(Actor::User(ALICE), Body::Org(command));
    }

    fn going(&self) -> Vec<TreeId> {
        let trees = leftovers(&self.state).trees;
        trees.into_iter().map(|(_, tree)| tree).collect()
    }
}

#[test]
fn a_deleted_dataset_is_gone_for_people_and_comes_back_as_it_was() {
    let mut world = world();
    let before = world.state.clone();
    world.delete_dataset(BOB, "digits").unwrap();
    for by in [ALICE, BOB, CAROL] {
        check(&mut world, &Code::NotFound, "it was deleted", |world| {
            world.submit(by, 50, reading(&["digits@1:/data"]))
        });
    }
    let shown = world.listed(CAROL, None);
    assert_eq!(shown.len(), 1);
    let of_digits = (&shown[0].name, shown[0].version, shown[0].versions);
    assert_eq!(of_digits, (&name("digits"), None, 3));
    assert_eq!(shown[0].kept_until, world.after(7));
    assert_eq!(shown[0].deleted_by, name("bob"));

    // Who may not delete it does not bring it back; nor does who may not see it learn of it.
    check(&mut world, &Code::Permission, "", |world| {
        world.restore(CAROL, "digits", None)
    });
    check(&mut world, &Code::NotFound, "", |world| {
        world.restore(user(77), "digits", None)
    });
    world.wait(7 * DAY - 1);
    assert_eq!(world.expire_data(), []);
    world.restore(BOB, "digits", None).unwrap();
    assert_eq!(world.state.datasets, before.datasets);
    assert!(world.listed(ALICE, None).is_empty());
    world.wait(7 * DAY);
    assert_eq!(world.expire_data(), []);
    world.add_version(BOB, 35, "digits", None, None).unwrap();
    assert_eq!(world.versions(BOB, "digits"), [1, 2, 3, 4]);
    check(&mut world, &Code::WrongState, "was not deleted", |world| {
        world.restore(BOB, "digits", None)
    });
    invariants::check(&world);
}

#[test]
fn what_is_personal_is_listed_for_who_may_see_it() {
    let mut world = world();
    world.delete_dataset(BOB, "maps").unwrap();
    assert!(world.listed(CAROL, None).is_empty());
    check(&mut world, &Code::NotFound, "none of this name", |world| {
        world.restore(CAROL, "maps", None)
    });
    assert_eq!(world.listed(BOB, None).len(), 1);
    // An admin brings back what they could delete.
    world.restore(user(5), "maps", None).unwrap();
    assert_eq!(world.versions(BOB, "maps"), [1]);
}

#[test]
fn the_sweep_waits_and_what_is_kept_counts_until_then() {
    let mut world = world();
    let all = world.kept();
    world.delete_dataset(BOB, "digits").unwrap();
    assert!(world.going().is_empty());
    world.wait(7 * DAY);
    let gone = world.expire_data();
    assert!(effects(&world.state, &gone[0]).contains(&Effect::Sweep));
    assert_eq!(world.going(), [30, 31, 32].map(tree));
    assert_eq!((all, world.kept()), (Bytes::mib(4), Bytes::mib(1)));
    check(&mut world, &Code::NotFound, "none of this name", |world| {
        world.restore(BOB, "digits", None)
    });
    assert_eq!(world.expire_data(), []);
    invariants::check(&world);
}

#[test]
fn a_version_comes_back_by_who_could_delete_it() {
    let mut world = world();
    world.delete_dataset(CAROL, "digits@2").unwrap();
    check(
        &mut world,
        &Code::NotFound,
        "that version was deleted; it is kept until",
        |world| world.submit(BOB, 50, reading(&["digits@2:/data"])),
    );
    for (who, what, under, code) in [
        (DAVE, "digits@2", None, Code::Permission),
        (CAROL, "digits@2", Some("two"), Code::BadRequest),
        (CAROL, "digits@1", None, Code::Permission),
        (BOB, "digits@1", None, Code::WrongState),
        (BOB, "digits@9", None, Code::NotFound),
        (BOB, "other@1", None, Code::NotFound),
    ] {
        check(&mut world, &code, "", |world| {
            world.restore(who, what, under)
        });
    }
    world.restore(CAROL, "digits@2", None).unwrap();
    assert_eq!(world.versions(BOB, "digits"), [1, 2, 3]);

    // A version goes before its dataset where it was deleted before, and with it where that goes.
    world.delete_dataset(BOB, "digits@1").unwrap();
    world.wait(DAY);
    world.delete_dataset(BOB, "digits").unwrap();
    check(
        &mut world,
        &Code::WrongState,
        "the whole dataset digits was deleted",
        |world| world.restore(BOB, "digits@1", None),
    );
    let listed = world.listed(BOB, None);
    assert_eq!(listed.len(), 1, "it comes back with its dataset or not");
    world.wait(6 * DAY);
    assert_eq!(world.expire_data().len(), 1);
    assert_eq!(world.going(), [tree(30)]);
    invariants::check(&world);
    world.restore(BOB, "digits", None).unwrap();
    assert_eq!(world.versions(BOB, "digits"), [2, 3]);
    invariants::check(&world);
}

#[test]
fn no_number_of_a_name_ever_means_other_files() {
    let mut world = world();
    world.delete_dataset(BOB, "digits").unwrap();
    world.add_version(CAROL, 35, "digits", None, None).unwrap();
    assert_eq!(world.versions(CAROL, "digits"), [4]);
    check(
        &mut world,
        &Code::NotFound,
        "that version was of another dataset",
        |world| world.submit(CAROL, 50, reading(&["digits@1:/data"])),
    );
    check(&mut world, &Code::NameTaken, "another dataset", |world| {
        world.restore(BOB, "digits", None)
    });
    check(&mut world, &Code::NameTaken, "another dataset", |world| {
        world.restore(BOB, "digits", Some("maps"))
    });
    world.delete_dataset(CAROL, "digits").unwrap();
    // Newest first; the first one can come back under a name that was never another's.
    world.restore(CAROL, "digits", None).unwrap();
    assert_eq!(world.versions(CAROL, "digits"), [4]);
    world.purge(CAROL, "digits").unwrap();
    check(&mut world, &Code::NameTaken, "had it since", |world| {
        world.restore(BOB, "digits", None)
    });
    world.restore(BOB, "digits", Some("first")).unwrap();
    assert_eq!(world.versions(BOB, "first"), [1, 2, 3]);
    world.add_version(BOB, 36, "digits", None, None).unwrap();
    assert_eq!(world.versions(BOB, "digits"), [5]);
    invariants::check(&world);

    // Also after the store was read again, and long after nothing else is left of it.
    let state = invariants::load(&invariants::save(&world.state));
    assert_eq!(state.past_names[&(ORG, name("digits"))].next, 5);
}

#[test]
fn who_does_not_want_to_wait_deletes_for_good() {
    let mut world = world();
    world.delete_dataset(BOB, "digits@1").unwrap();
    world.purge(BOB, "digits@1").unwrap();
    assert_eq!(world.going(), [tree(30)]);
    check(&mut world, &Code::NotFound, "was deleted", |world| {
        world.restore(BOB, "digits@1", None)
    });
    world.purge(BOB, "digits@2").unwrap();
    world.delete_dataset(BOB, "digits").unwrap();
    check(&mut world, &Code::Permission, "", |world| {
        world.purge(CAROL, "digits")
    });
    world.purge(BOB, "digits").unwrap();
    assert_eq!(world.going(), [30, 31, 32].map(tree));
    check(&mut world, &Code::NotFound, "", |world| {
        world.purge(BOB, "digits")
    });
    // Where an org keeps nothing, everything goes at once.
    world.kept_for("deleted_data_kept", "0");
    let events = world.delete_dataset(BOB, "maps").unwrap();
    assert_eq!(deleted(&events).unwrap().kept_until, None);
    assert!(world.listed(BOB, None).is_empty());
    invariants::check(&world);
}

#[test]
fn a_promise_is_kept_though_the_setting_changes() {
    let mut world = world();
    world.delete_dataset(BOB, "digits").unwrap();
    world.kept_for("deleted_data_kept", "1d");
    world.delete_dataset(BOB, "maps").unwrap();
    world.wait(DAY);
    assert_eq!(world.expire_data().len(), 1);
    let left = world.listed(ALICE, None);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].name, name("digits"));
}

#[test]
fn the_list_goes_on_where_it_stopped() {
    let mut world = world();
    world.delete_dataset(BOB, "maps").unwrap();
    world.wait(60);
    world.delete_dataset(BOB, "digits@1").unwrap();
    let all = world.listed(BOB, None);
    assert_eq!(all.len(), 2);
    assert_eq!((&all[0].name, all[0].version), (&name("maps"), None));
    let key = |row: &DeletedView| DeletedKey {
        kept_until: row.kept_until,
        dataset: row.dataset,
        version: row.version.unwrap_or(0),
    };
    assert_eq!(world.listed(BOB, Some(key(&all[0]))), all[1..]);
    assert!(world.listed(BOB, Some(key(&all[1]))).is_empty());
    let none = DatasetId::from_bytes([0; 16]);
    assert!(world.state.datasets.keys().all(|id| *id != none));
}
