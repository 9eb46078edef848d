//! What takes the place of what, how little of it, and what never does.

mod afterwards;
mod limits;
mod stability;

use common::{
    id::{AttemptId, JobId, MachineId},
    job::{JobSpec, Retries},
    org::settings::SettingsChange,
    preemption::{MayPreempt, PreemptedBy, PreemptingJob},
    status::{EndReason, JobStatus, Precedence, Priority},
};

use super::{
    invariants,
    world::{ALICE, BOB, CAROL, ORG, World, array, asking, capacity, job_id, outcome, report},
};
use crate::{Actor, Body, Event, command::OrgCommand, lifecycle::attempt::AttemptState};

const MINUTE: u64 = 60;

fn set(world: &mut World, key: &str, value: &str) {
    let mut change = SettingsChange::default();
    change.set(key, value).unwrap();
    let change = Box::new(change);
    let body = Body::Org(OrgCommand::ChangeSettings { org: ORG, change });
    world.must(Actor::User(ALICE), body);
}

fn of(priority: Priority, spec: JobSpec) -> JobSpec {
    JobSpec { priority, ..spec }
}

fn low(cpus: u32) -> JobSpec {
    of(Priority::Low, asking(cpus, 1))
}

fn high(cpus: u32) -> JobSpec {
    of(Priority::High, asking(cpus, 1))
}

/// Lets time pass, and the schedule look at what it may have changed.
fn pass_time(world: &mut World, seconds: u64) -> Vec<Event> {
    world.wait(seconds);
    let mut events = world.must(Actor::System, Body::Wake { most: 100 });
    while world.state.schedule_due() {
        events.extend(world.must(Actor::System, Body::Schedule { most: 8 }));
    }
    events
}

/// Returns what was told to give way, and to which job.
fn gave_way(events: &[Event]) -> Vec<(AttemptId, JobId)> {
    let told = events.iter().filter_map(|event| match event {
        Event::AttemptPreempted { attempt, by, .. } => Some((*attempt, by.job)),
        _ => None,
    });
    told.collect()
}

fn jobs(events: &[Event]) -> Vec<JobId> {
    gave_way(events).iter().map(|(id, _)| id.job).collect()
}

/// Ends what was told to give way, as its machine would.
fn give_way(world: &mut World) {
    for id in world.live() {
        let stopping = AttemptState::Stopping {
            reason: EndReason::Preempted,
        };
        if world.state.attempts[&id].state == stopping {
            world.end(id, outcome(EndReason::Preempted, None));
        }
    }
}

/// Starts whatever the schedule places.
fn run(world: &mut World) -> Vec<(AttemptId, MachineId)> {
    let placed = world.schedule();
    for (attempt, _) in &placed {
        world.start(*attempt);
    }
    placed
}

/// Returns a machine of four processors of alice's, on which such jobs of bob's have run for a while, numbered from 30.
fn crowded(specs: Vec<JobSpec>) -> World {
    let mut world = World::new();
    world.machine(10, ALICE, "box", report(capacity(4, 64)));
    let count = specs.len();
    for (number, spec) in (30..).zip(specs) {
        world.submit(BOB, number, spec).unwrap();
    }
    assert_eq!(run(&mut world).len(), count);
    world.wait(15 * MINUTE);
    world
}

#[test]
fn what_waits_takes_the_place_of_what_comes_after_it_and_that_goes_on_later() {
    let mut world = crowded(vec![low(4)]);
    world.submit(CAROL, 40, high(2)).unwrap();
    assert!(world.schedule().is_empty());
    let why = world.why(40);
    let from = world.now.saturating_add(std::time::Duration::from_secs(60));
    assert_eq!(why.preempts, Some(MayPreempt { tasks: 1, from }));
    assert_eq!(
        why.expected_start,
        Some(from.saturating_add(std::time::Duration::from_secs(30)))
    );
    assert!(
        gave_way(&pass_time(&mut world, 59)).is_empty(),
        "it waits a minute"
    );
    let events = pass_time(&mut world, 10);
    let [(victim, by)] = gave_way(&events)[..] else {
        panic!("{events:?}");
    };
    assert_eq!((victim.job, by), (job_id(30), job_id(40)));
    assert_eq!(world.why(40).preempts, None, "it has done so");
    invariants::check(&world);

    // Nobody else gets the room meanwhile, and nobody else has to go.
    world.submit(BOB, 31, high(1)).unwrap();
    assert!(gave_way(&pass_time(&mut world, 20)).is_empty());
    give_way(&mut world);
    assert_eq!(
        world.state.progress[&job_id(30)].status(),
        JobStatus::Queued
    );
    assert!(!EndReason::Preempted.billed());
    let placed: Vec<JobId> = run(&mut world).iter().map(|(id, _)| id.job).collect();
    assert_eq!(placed, [job_id(40), job_id(31)]);
    invariants::check(&world);

    // It takes nobody's place in turn, and goes on at its old one.
    world.submit(BOB, 32, low(4)).unwrap();
    assert!(gave_way(&pass_time(&mut world, 60 * MINUTE)).is_empty());
    for attempt in world.live() {
        world.succeed(attempt);
    }
    let placed = world.schedule();
    assert_eq!(placed.len(), 1);
    assert_eq!((placed[0].0.job, placed[0].0.number), (job_id(30), 2));
    invariants::check(&world);
}

#[test]
fn its_job_says_what_took_its_place_to_who_may_see_that() {
    let mut world = crowded(vec![low(4)]);
    world.submit(CAROL, 40, high(2)).unwrap();
    world.schedule();
    pass_time(&mut world, 70);
    let by = |who| world.seen_by(who, 1).attempts[0].preempted_by;
    let precedence = Precedence::Priority;
    let job = Some(PreemptingJob {
        number: world.state.jobs[&job_id(40)].number,
        priority: Priority::High,
    });
    assert_eq!(by(ALICE), Some(PreemptedBy { precedence, job }));
    assert_eq!(
        by(BOB),
        Some(PreemptedBy {
            precedence,
            job: None
        })
    );
}

#[test]
fn as_few_give_way_as_make_room_and_of_these_who_lose_the_least() {
    // One of two processors rather than two of one.
    let mut world = crowded(vec![low(1), low(2), low(1)]);
    world.submit(CAROL, 40, high(2)).unwrap();
    world.schedule();
    assert_eq!(jobs(&pass_time(&mut world, 70)), [job_id(31)]);

    // Of two that would do the younger one.
    let mut world = crowded(vec![low(2)]);
    world.submit(BOB, 31, low(2)).unwrap();
    run(&mut world);
    world.submit(CAROL, 40, high(2)).unwrap();
    world.schedule();
    assert_eq!(jobs(&pass_time(&mut world, 11 * MINUTE)), [job_id(31)]);

    // Of as many those of lower priority, however long they ran.
    let mut world = crowded(vec![low(2)]);
    world.submit(BOB, 31, asking(2, 1)).unwrap();
    run(&mut world);
    world.submit(CAROL, 40, high(2)).unwrap();
    world.schedule();
    assert_eq!(jobs(&pass_time(&mut world, 11 * MINUTE)), [job_id(30)]);

    // On whatever machine.
    let mut world = crowded(vec![low(1), low(1), low(1), low(1)]);
    world.machine(11, ALICE, "other", report(capacity(4, 64)));
    world.submit(BOB, 35, low(3)).unwrap();
    run(&mut world);
    world.submit(CAROL, 40, high(3)).unwrap();
    world.schedule();
    assert_eq!(jobs(&pass_time(&mut world, 11 * MINUTE)), [job_id(35)]);

    // Who asked not to be tried again would lose all of it, and is taken last.
    let once = JobSpec {
        retries: Retries {
            max: 0,
            ..Retries::default()
        },
        ..low(4)
    };
    let mut world = crowded(vec![once]);
    world.machine(11, ALICE, "other", report(capacity(4, 64)));
    world.submit(BOB, 35, array(4, None)).unwrap();
    let many = of(Priority::Low, array(4, None));
    world.cancel(BOB, 2, None).unwrap();
    world.submit(BOB, 36, many).unwrap();
    run(&mut world);
    world.submit(CAROL, 40, high(4)).unwrap();
    world.schedule();
    assert_eq!(jobs(&pass_time(&mut world, 11 * MINUTE)), [job_id(36); 4]);
    invariants::check(&world);
}

#[test]
fn among_many_tasks_no_more_give_way_than_make_room() {
    let mut world = World::new();
    world.machine(10, ALICE, "box", report(capacity(40, 64)));
    let many = of(Priority::Low, array(38, None));
    world.submit(BOB, 30, many).unwrap();
    world.submit(BOB, 31, low(2)).unwrap();
    while !run(&mut world).is_empty() {}
    world.wait(15 * MINUTE);
    // More sets than are weighed.
    world.submit(CAROL, 40, high(5)).unwrap();
    world.schedule();
    let events = pass_time(&mut world, 70);
    let taken = gave_way(&events).len();
    assert!((4..=5).contains(&taken), "{taken}");
    invariants::check(&world);
}

#[test]
fn nothing_gives_way_before_it_ran_for_a_while_nor_to_its_equals_nor_where_nobody_wants_it() {
    let begin = |specs: Vec<JobSpec>, waits: JobSpec| {
        let mut world = crowded(specs);
        world.submit(CAROL, 40, waits).unwrap();
        world.schedule();
        world
    };
    // It ran for 15 minutes already.
    let mut young = begin(vec![low(4)], high(1));
    set(&mut young, "preempted_after", "20m");
    assert!(gave_way(&pass_time(&mut young, 200)).is_empty());
    let from = young.why(40).preempts.unwrap().from;
    assert_eq!(from.since(young.now).as_secs(), 100);
    assert_eq!(
        gave_way(&pass_time(&mut young, 100)).len(),
        1,
        "time alone lets it"
    );

    let mut equal = begin(vec![asking(4, 1)], asking(1, 1));
    assert!(gave_way(&pass_time(&mut equal, 60 * MINUTE)).is_empty());
    assert_eq!(equal.why(40).preempts, None);

    // What rose with waiting is what it was submitted as.
    let mut risen = begin(vec![asking(4, 1)], low(1));
    set(&mut risen, "raised_after", "1h");
    risen.submit(CAROL, 41, low(1)).unwrap();
    assert!(gave_way(&pass_time(&mut risen, 300 * MINUTE)).is_empty());

    for (key, value) in [
        ("preemption", "off"),
        ("preempts_after", "forever"),
        ("preempted_after", "forever"),
    ] {
        let mut off = begin(vec![low(4)], high(1));
        set(&mut off, key, value);
        assert!(
            gave_way(&pass_time(&mut off, 60 * MINUTE)).is_empty(),
            "{key}"
        );
        assert_eq!(off.why(40).preempts, None);
    }
}

#[test]
fn owners_take_their_machines_from_guests_and_guests_never_from_owners() {
    let mut world = crowded(vec![of(Priority::High, asking(4, 1))]);
    world.submit(ALICE, 40, low(2)).unwrap();
    world.schedule();
    let events = pass_time(&mut world, 70);
    assert_eq!(jobs(&events), [job_id(30)]);
    let by = world.seen_by(ALICE, 1).attempts[0].preempted_by.unwrap();
    assert_eq!(by.precedence, Precedence::OwnMachine);
    give_way(&mut world);
    let placed: Vec<JobId> = run(&mut world).iter().map(|(id, _)| id.job).collect();
    assert_eq!(placed, [job_id(40)]);
    // The guest's is of higher priority, and waits.
    world.submit(CAROL, 41, high(4)).unwrap();
    assert!(gave_way(&pass_time(&mut world, 60 * MINUTE)).is_empty());
    world.cancel(CAROL, 3, None).unwrap();
    world.cancel(BOB, 1, None).unwrap();
    // Nor does it with what another guest could give.
    world.submit(BOB, 43, low(2)).unwrap();
    assert_eq!(run(&mut world).len(), 1);
    world.submit(CAROL, 44, high(3)).unwrap();
    world.schedule();
    assert!(gave_way(&pass_time(&mut world, 60 * MINUTE)).is_empty());
    world.cancel(CAROL, 5, None).unwrap();
    // The owner's own more urgent one does not.
    world.submit(ALICE, 42, high(4)).unwrap();
    world.schedule();
    let mut both = jobs(&pass_time(&mut world, 70));
    both.sort_unstable();
    assert_eq!(both, [job_id(40), job_id(43)]);
    invariants::check(&world);
}

#[test]
fn by_share_who_has_less_afterwards_too_takes_the_place_of_who_has_more() {
    let begin = |share: &str, first: u32| {
        let mut world = World::new();
        world.machine(10, ALICE, "box", report(capacity(8, 64)));
        set(&mut world, "preemption", share);
        world.submit(BOB, 30, array(8, None)).unwrap();
        assert_eq!(run(&mut world).len(), 8);
        world.wait(15 * MINUTE);
        world.submit(CAROL, 40, asking(first, 1)).unwrap();
        world.schedule();
        world
    };
    let mut world = begin("priority", 1);
    assert!(gave_way(&pass_time(&mut world, 70)).is_empty());

    let mut world = begin("share", 3);
    let events = pass_time(&mut world, 70);
    assert_eq!(jobs(&events), [job_id(30); 3], "three against five");
    give_way(&mut world);
    run(&mut world);
    // A fourth would leave both with as much.
    world.submit(CAROL, 41, asking(1, 1)).unwrap();
    assert!(gave_way(&pass_time(&mut world, 60 * MINUTE)).is_empty());
    invariants::check(&world);

    let mut world = begin("share", 4);
    assert!(
        gave_way(&pass_time(&mut world, 70)).is_empty(),
        "four against four"
    );
}
