//! Data that a machine's cache cannot take: it goes where there is room, and who submitted it is told.

use common::{api::explain::BlockerCode, job::JobSpec, machine::MachineReport, units::Bytes};

use super::world::{ALICE, BOB, CAROL, World, asking, capacity, machine_id, report, where_to};
use crate::{Actor, Body, Rejection};

/// Lends the same as any other, and keeps so much data.
fn keeping(most: Bytes) -> MachineReport {
    MachineReport {
        cache_limit: Some(most),
        ..report(capacity(64, 64))
    }
}

fn reading(mounts: &[&str]) -> JobSpec {
    JobSpec {
        datasets: mounts.iter().map(|mount| mount.parse().unwrap()).collect(),
        ..asking(1, 1)
    }
}

/// Two datasets, and a machine that keeps so much.
fn world(most: Bytes) -> World {
    let mut world = World::new();
    world.dataset_of(ALICE, 5, "digits", Bytes::gib(41));
    world.dataset_of(ALICE, 6, "labels", Bytes::gib(10));
    world.machine(10, CAROL, "small", keeping(most));
    world
}

#[test]
fn data_goes_where_it_can_be_kept() {
    let mut world = world(Bytes::gib(20));
    world.machine(11, CAROL, "large", keeping(Bytes::gib(51)));
    world
        .submit(ALICE, 30, reading(&["digits:/a", "labels:/b"]))
        .unwrap();
    // One after the other, so that those which fit nowhere do not take others with them.
    world.submit(BOB, 31, reading(&["labels:/b"])).unwrap();
    world.submit(BOB, 32, reading(&["digits:/a:lazy"])).unwrap();
    let placed = world.schedule();
    assert_eq!(where_to(&placed)[0], machine_id(11));
    assert_eq!(placed.len(), 3);
}

#[test]
fn data_that_no_machine_can_keep_is_told_with_what_to_do() {
    let mut world = world(Bytes::gib(20));
    let both = reading(&["digits:/a", "labels:/b"]);
    let refused = world.submit(ALICE, 30, both.clone()).unwrap_err();
    assert!(
        matches!(refused, Rejection::NeverFits { .. }),
        "{refused:?}"
    );
    // The owner lends less once it waits.
    let mut world = self::world(Bytes::gib(51));
    world.submit(ALICE, 31, both).unwrap();
    world.submit(ALICE, 32, reading(&["labels:/b"])).unwrap();
    let report = keeping(Bytes::gib(20));
    let less = Body::ReportMachine { report };
    world.must(Actor::Machine(machine_id(10)), less);
    assert_eq!(
        world.schedule().len(),
        1,
        "what fits is not held up by what does not"
    );
    let told = world.why(31);
    assert!(told.never);
    let codes: Vec<BlockerCode> = told.blockers.iter().map(|one| one.code).collect();
    assert_eq!(codes, [BlockerCode::TooSmallCache]);
    assert_eq!(
        told.blockers[0].text,
        "reads 51 GiB of data, which has to be there at once; the most that a machine keeps is 20 GiB (small)"
    );
    assert_eq!(
        told.smallest_change.as_deref(),
        Some(
            "mount less data at once, or with `:lazy`, or the owner of small lets its cache hold 51 GiB (cache_limit \
             in owner.yaml)"
        )
    );
}

#[test]
fn versions_of_one_dataset_count_once_and_an_agent_that_does_not_say_counts_as_able() {
    let mut world = world(Bytes::gib(20));
    world
        .submit(ALICE, 30, reading(&["labels:/a", "labels:/b"]))
        .unwrap();
    assert_eq!(where_to(&world.schedule()), [machine_id(10)]);
    world.machine(11, CAROL, "older", report(capacity(64, 64)));
    world.submit(ALICE, 31, reading(&["digits:/a"])).unwrap();
    assert_eq!(where_to(&world.schedule()), [machine_id(11)]);
}
