//! Data that comes to a machine before a job wants it.

use common::{
    api::{
        Answer, Request,
        data::{DataAnswer, DataRequest, WarmDataset, WarmState},
    },
    code::Code,
    id::{MachineId, TreeId, UserId},
    machine::Admits,
    units::Bytes,
    wire::agent::MAX_WANTED_TREES,
};

use super::super::{
    invariants,
    views::ask,
    world::{ALICE, BOB, CAROL, ORG, World, capacity, machine_id, name, refused, report, tree},
};
use crate::{
    Actor, Body, Effect, Event, Rejection, assign,
    command::dataset::{DatasetCommand, WarmFailure},
    effects,
    query::access::{alike, machine_may_fetch},
};

const BOX: u8 = 10;

impl World {
    fn warm(&mut self, by: UserId, dataset: &str) -> Result<Vec<Event>, Rejection> {
        let command = DatasetCommand::Warm(wish(dataset, "box"));
        self.user_does(by, Body::Dataset(command))
    }

    fn warmth(&self, by: UserId, dataset: &str) -> Result<WarmState, Code> {
        let request = Request::Data(DataRequest::ShowWarm(wish(dataset, "box")));
        match ask(self, by, &request) {
            Ok(Answer::Data(DataAnswer::Warm(view))) => Ok(view.state),
            Ok(other) => panic!("{other:?}"),
            Err(problem) => Err(problem.code),
        }
    }

    fn fetched(&mut self, number: u8, failed: Option<WarmFailure>) -> Vec<Event> {
        let tree = tree(number);
        let body = Body::ReportFetched { tree, failed };
        self.must(Actor::Machine(machine_id(BOX)), body)
    }
}

fn wish(dataset: &str, machine: &str) -> WarmDataset {
    WarmDataset {
        org: ORG,
        dataset: dataset.parse().unwrap(),
        machine: name(machine),
    }
}

fn wanted(world: &World) -> Vec<String> {
    let set = assign(&world.state, machine_id(BOX));
    set.trees.into_iter().map(|wanted| wanted.name).collect()
}

fn may_fetch(world: &World, machine: MachineId, number: u8) -> bool {
    machine_may_fetch(&world.state, machine, tree(number))
}

fn world() -> World {
    let mut world = World::new();
    world.machine(BOX, CAROL, "box", report(capacity(4, 8)));
    world.dataset(ALICE, 5, "digits");
    world
}

#[test]
fn data_is_wanted_until_it_is_there_or_cannot_be() {
    let mut world = world();
    assert!(!may_fetch(&world, machine_id(BOX), 5));
    let generation = assign(&world.state, machine_id(BOX)).generation;
    let events = world.warm(BOB, "digits").unwrap();
    assert!(effects(&world.state, &events[0]).contains(&Effect::Assign(machine_id(BOX))));
    assert_eq!(wanted(&world), ["digits@1"]);
    assert!(assign(&world.state, machine_id(BOX)).generation > generation);
    assert!(may_fetch(&world, machine_id(BOX), 5));
    assert!(!may_fetch(&world, machine_id(BOX + 1), 5));
    assert!(matches!(
        world.warmth(BOB, "digits"),
        Ok(WarmState::Coming { .. })
    ));
    assert!(
        world.warm(ALICE, "digits@1").unwrap().is_empty(),
        "it is asked for already"
    );
    invariants::check(&world);

    let failure = WarmFailure {
        kind: Code::DiskFull,
        why: "41 GiB are needed\u{1b}[2J".to_owned(),
    };
    world.fetched(5, Some(failure));
    assert!(wanted(&world).is_empty() && !may_fetch(&world, machine_id(BOX), 5));
    let Ok(WarmState::Failed { code, why }) = world.warmth(BOB, "digits") else {
        panic!("{:?}", world.warmth(BOB, "digits"));
    };
    assert_eq!(
        (code, why.as_str()),
        (Code::DiskFull, "41 GiB are needed[2J")
    );

    world.warm(BOB, "digits").unwrap();
    assert_eq!(wanted(&world), ["digits@1"]);
    world.fetched(5, None);
    assert!(wanted(&world).is_empty());
    assert_eq!(world.warmth(BOB, "digits"), Ok(WarmState::There));
    assert!(world.fetched(5, None).is_empty(), "it is said twice");
    assert!(world.warm(BOB, "digits").unwrap().is_empty());
    invariants::check(&world);
}

#[test]
fn who_may_not_run_with_it_there_may_not_bring_it_there() {
    let mut world = world();
    let before = invariants::save(&world.state);
    assert_eq!(refused(world.warm(BOB, "nothing")).code, Code::NotFound);
    assert_eq!(refused(world.warm(BOB, "digits@2")).code, Code::NotFound);
    let elsewhere = DatasetCommand::Warm(wish("digits", "elsewhere"));
    assert_eq!(
        refused(world.user_does(BOB, Body::Dataset(elsewhere))).code,
        Code::NotFound
    );
    assert!(invariants::save(&world.state) == before);
    let mut closed = report(capacity(4, 8));
    closed.admits = Admits {
        members: Some(vec![name("alice")]),
        ..Admits::default()
    };
    world.must(
        Actor::Machine(machine_id(BOX)),
        Body::ReportMachine { report: closed },
    );
    assert_eq!(refused(world.warm(BOB, "digits")).code, Code::OwnerRules);
    world.warm(ALICE, "digits").unwrap();
    world.warm(CAROL, "digits").unwrap();
}

#[test]
fn a_machine_is_asked_for_so_many_and_for_so_long() {
    let mut world = world();
    let most = u8::try_from(MAX_WANTED_TREES).unwrap();
    for number in 0..=most {
        world.dataset_of(
            ALICE,
            100 + number,
            &format!("data-{number}"),
            Bytes::mib(1),
        );
    }
    for number in 0..most {
        world.warm(BOB, &format!("data-{number}")).unwrap();
    }
    let one_more = format!("data-{most}");
    assert_eq!(refused(world.warm(BOB, &one_more)).code, Code::Busy);
    assert_eq!(wanted(&world).len(), MAX_WANTED_TREES);
    let expire = |world: &mut World| world.must(Actor::System, Body::ExpireWarm).len();
    assert_eq!(expire(&mut world), 0);
    world.wait(24 * 3600);
    assert_eq!(expire(&mut world), MAX_WANTED_TREES);
    assert!(wanted(&world).is_empty());
    assert_eq!(world.warmth(BOB, "data-1"), Ok(WarmState::NotWanted));
    world.warm(BOB, &one_more).unwrap();
    invariants::check(&world);
}

#[test]
fn the_nearest_version_of_the_same_dataset_is_alike() {
    let mut world = world();
    for number in 6..9 {
        // Versions 2 to 4 of the dataset.
        world.dataset(ALICE, number, "digits");
    }
    world.dataset(ALICE, 20, "letters");
    let alike = |world: &World, of, named: &[u8]| {
        let named: Vec<TreeId> = named.iter().copied().map(tree).collect();
        alike(&world.state, ORG, tree(of), &named)
    };
    assert_eq!(alike(&world, 8, &[5, 7, 20]), Some(tree(7)));
    assert_eq!(alike(&world, 5, &[8, 6]), Some(tree(6)));
    assert_eq!(
        alike(&world, 8, &[20, 8]),
        None,
        "another dataset, and itself"
    );
    assert_eq!(alike(&world, 99, &[5]), None);
    world.dataset(ALICE, 6, "letters");
    assert_eq!(alike(&world, 6, &[20, 8]), Some(tree(20)));
}
