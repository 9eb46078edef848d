//! Jobs that write down how far they are: the next try of a task waits for what the last one left, and is given it.

use common::{
    api::explain::BlockerCode,
    code::Code,
    id::{AttemptId, TreeId},
    job::{JobSpec, MAX_BACKOFF, Retries},
    status::EndReason,
    time::Span,
    wire::agent::AttemptReport,
};

use super::{
    invariants,
    world::{
        ALICE, BOB, ORG, World, capacity, job_id, machine_id, outcome, refused, report, spec, tree,
    },
};
use crate::{
    Actor, Body, assign, decide::checkpoint::FILES_WAIT, query::access::machine_may_fetch,
};

const MINUTE: u64 = 60;

fn writing(spec: JobSpec) -> JobSpec {
    JobSpec {
        checkpoint: Some("USR1:2m".parse().unwrap()),
        ..spec
    }
}

/// Returns two machines, and bob's job of this kind, which runs on one of them.
fn running(spec: JobSpec) -> (World, Vec<AttemptId>) {
    let mut world = World::new();
    for number in [10, 11] {
        let called = format!("box-{number}");
        world.machine(number, ALICE, &called, report(capacity(4, 16)));
    }
    world.submit(BOB, 30, spec).unwrap();
    let attempts = placed(&mut world);
    (world, attempts)
}

/// Starts what is placed and returns it.
fn placed(world: &mut World) -> Vec<AttemptId> {
    let placed = world.schedule().into_iter().map(|(id, _)| id);
    let placed: Vec<AttemptId> = placed.collect();
    for id in &placed {
        world.start(*id);
    }
    invariants::check(world);
    placed
}

fn end(world: &mut World, id: AttemptId, reason: EndReason, files: bool) {
    let ended = AttemptReport::Ended {
        at: world.now,
        outcome: outcome(reason, None),
        artifacts: files,
    };
    world.report(id, ended).unwrap();
    invariants::check(world);
}

fn store(world: &mut World, id: AttemptId, number: u8) {
    let tree = tree(number);
    let stored = AttemptReport::Artifacts { tree };
    world.report(id, stored).unwrap();
    invariants::check(world);
}

/// Lets a moment come, and returns what runs then that did not before.
fn after(world: &mut World, seconds: u64) -> Vec<AttemptId> {
    world.wait(seconds);
    world.must(Actor::System, Body::Wake { most: 100 });
    placed(world)
}

/// Returns what an attempt is to go on from.
fn restored(world: &World, id: AttemptId) -> Option<TreeId> {
    let assigned = assign(&world.state, world.state.attempts[&id].machine);
    let mut told = assigned.attempts.into_iter();
    told.find(|one| one.attempt == id).unwrap().spec.restore
}

#[test]
fn the_next_try_waits_for_what_the_last_one_left_and_goes_on_from_it() {
    let (mut world, first) = running(writing(spec()));
    assert_eq!(restored(&world, first[0]), None);
    end(&mut world, first[0], EndReason::MachineOwner, true);
    assert!(placed(&mut world).is_empty(), "its files are on their way");
    let blockers = world.why(30).blockers;
    assert_eq!(blockers[0].code, BlockerCode::BackingOff);
    let text = &blockers[0].text;
    assert!(text.contains("once what it left is here"), "{text}");

    store(&mut world, first[0], 50);
    let second = placed(&mut world);
    assert_eq!(restored(&world, second[0]), Some(tree(50)));
    let machine = world.state.attempts[&second[0]].machine;
    let other = [10, 11]
        .map(machine_id)
        .into_iter()
        .find(|id| *id != machine);
    assert!(machine_may_fetch(&world.state, machine, tree(50)));
    assert!(!machine_may_fetch(&world.state, other.unwrap(), tree(50)));

    // What leaves nothing new goes on from the same.
    end(&mut world, second[0], EndReason::MachineOwner, false);
    let third = placed(&mut world);
    assert_eq!(restored(&world, third[0]), Some(tree(50)));
}

#[test]
fn other_jobs_wait_for_nothing_and_begin_anew() {
    let (mut world, first) = running(spec());
    end(&mut world, first[0], EndReason::MachineOwner, true);
    let second = placed(&mut world);
    store(&mut world, first[0], 50);
    assert_eq!(restored(&world, second[0]), None);
    let machine = world.state.attempts[&second[0]].machine;
    assert!(!machine_may_fetch(&world.state, machine, tree(50)));
}

#[test]
fn what_is_lost_is_not_waited_for() {
    let (mut world, first) = running(writing(spec()));
    end(&mut world, first[0], EndReason::MachineOwner, true);
    world
        .report(first[0], AttemptReport::ArtifactsLost)
        .unwrap();
    let second = placed(&mut world);
    assert_eq!(restored(&world, second[0]), None);

    // Nor what goes with its machine.
    end(&mut world, second[0], EndReason::MachineOwner, true);
    assert!(placed(&mut world).is_empty());
    let machine = world.state.attempts[&second[0]].machine;
    let name = world.state.machines[&machine].name.clone();
    world
        .user_does(ALICE, Body::RemoveMachine { org: ORG, name })
        .unwrap();
    assert_eq!(placed(&mut world).len(), 1);
}

#[test]
fn a_machine_that_stays_away_holds_its_task_up_for_an_hour() {
    // By its length this wait is told from the one after a failure.
    assert!(MAX_BACKOFF.as_duration() < FILES_WAIT);
    let (mut world, first) = running(writing(spec()));
    end(&mut world, first[0], EndReason::MachineOwner, true);
    assert!(after(&mut world, FILES_WAIT.as_secs() - 1).is_empty());
    let second = after(&mut world, 1);
    assert_eq!(restored(&world, second[0]), None);
    // What comes then is for the next try but one.
    end(&mut world, second[0], EndReason::MachineOwner, true);
    store(&mut world, first[0], 50);
    assert!(placed(&mut world).is_empty(), "the newer files are awaited");
    store(&mut world, second[0], 51);
    let third = placed(&mut world);
    assert_eq!(restored(&world, third[0]), Some(tree(51)));
}

#[test]
fn after_a_failure_the_later_of_both_waits_counts() {
    let retries = Retries {
        max: 3,
        on: vec![EndReason::Signalled],
        backoff: Some(Span::from_secs(5 * MINUTE)),
        ..Retries::default()
    };
    let failing = || {
        writing(JobSpec {
            retries: retries.clone(),
            ..spec()
        })
    };
    // The files come first.
    let (mut world, first) = running(failing());
    end(&mut world, first[0], EndReason::Signalled, true);
    store(&mut world, first[0], 50);
    assert!(after(&mut world, 5 * MINUTE - 1).is_empty());
    let second = after(&mut world, 1);
    assert_eq!(restored(&world, second[0]), Some(tree(50)));

    // The moment comes first.
    let (mut world, first) = running(failing());
    end(&mut world, first[0], EndReason::Signalled, true);
    assert!(after(&mut world, 6 * MINUTE).is_empty());
    store(&mut world, first[0], 50);
    let second = placed(&mut world);
    assert_eq!(restored(&world, second[0]), Some(tree(50)));
}

#[test]
fn a_gang_waits_for_all_of_its_files() {
    let gang = JobSpec {
        nodes: Some(2),
        ..writing(spec())
    };
    let (mut world, first) = running(gang);
    end(&mut world, first[0], EndReason::MachineOwner, true);
    end(&mut world, first[1], EndReason::PeerEnded, true);
    assert!(placed(&mut world).is_empty());
    store(&mut world, first[1], 51);
    assert!(
        placed(&mut world).is_empty(),
        "those of the other are awaited"
    );
    store(&mut world, first[0], 50);
    let second = placed(&mut world);
    let trees: Vec<_> = second.iter().map(|id| restored(&world, *id)).collect();
    assert_eq!(trees, [Some(tree(50)), Some(tree(51))]);
}

#[test]
fn a_cancelled_job_waits_for_nothing() {
    let (mut world, first) = running(writing(spec()));
    end(&mut world, first[0], EndReason::MachineOwner, true);
    world.cancel(BOB, 1, None).unwrap();
    assert!(world.state.progress[&job_id(30)].ended_at.is_some());
    store(&mut world, first[0], 50);
    assert!(placed(&mut world).is_empty());
}

#[test]
fn there_is_a_longest_time_for_it() {
    let mut world = World::new();
    for (number, text) in [(30, "USR1:0s"), (31, "USR1:11m")] {
        let spec = JobSpec {
            checkpoint: Some(text.parse().unwrap()),
            ..spec()
        };
        let problem = refused(world.submit(BOB, number, spec));
        assert_eq!(problem.code, Code::BadJobFile);
        assert!(problem.why.contains("at most 10m"), "{}", problem.why);
    }
}
