//! Machines on which job after job fails.

use common::{
    api::{Answer, Request, explain::BlockerCode},
    code::Code,
    id::{AttemptId, MachineId, UserId},
    job::{JobNumber, JobSpec, Outcome},
    machine::MachineView,
    status::{EndReason, MachineStatus},
};

use super::{
    invariants::{self, load, save},
    world::{
        ALICE, BOB, CAROL, ORG, World, capacity, machine_id, name, outcome, refused, report, spec,
        where_to,
    },
};
use crate::{
    Actor, Body, Event,
    state::trouble::{MOST_FAILED, MOST_NOT_STARTED, Making, SetAside},
};

const BROKEN: EndReason = EndReason::PrepareFailed;

/// Returns a world with a machine of carol's.
fn one_machine() -> World {
    let mut world = World::new();
    world.machine(10, CAROL, "box", report(capacity(4, 16)));
    world
}

/// Submits one job and returns where it was placed.
fn place(world: &mut World, member: UserId) -> Option<(AttemptId, MachineId)> {
    let number = world.mint();
    world.submit(member, number, spec()).unwrap();
    world.schedule().first().copied()
}

/// Lets one job end so there.
fn run(world: &mut World, member: UserId, how: Outcome) -> Vec<Event> {
    let (attempt, _) = place(world, member).expect("a machine takes it");
    world.start(attempt);
    let events = world.end(attempt, how);
    invariants::check(world);
    events
}

fn fails(world: &mut World, member: UserId, reason: EndReason) -> Vec<Event> {
    let code = (reason == EndReason::Exited).then_some(1);
    run(world, member, outcome(reason, code))
}

fn well() -> Outcome {
    outcome(EndReason::Exited, Some(0))
}

fn aside(world: &World, number: u8) -> Option<&SetAside> {
    world.state.machines[&machine_id(number)].set_aside.as_ref()
}

/// Lets the time pass until it may be tried.
fn wait_for_trial(world: &mut World, number: u8) {
    let until = aside(world, number).unwrap().until;
    world.wait(until.since(world.now).as_secs());
    assert_eq!(world.state.next_waking(), Some(until));
    let events = world.must(Actor::System, Body::Wake { most: 1 });
    assert!(matches!(events[..], [Event::MachineTried { .. }]));
    invariants::check(world);
}

fn readmit(world: &mut World, who: UserId) -> Result<Vec<Event>, crate::Rejection> {
    let name = name("box");
    world.user_does(who, Body::ReadmitMachine { org: ORG, name })
}

fn show(world: &World, who: UserId) -> MachineView {
    let name = name("box");
    match world.ask(who, &Request::ShowMachine { org: ORG, name }) {
        Ok(Answer::Machine(machine)) => *machine,
        other => panic!("{other:?}"),
    }
}

#[test]
fn three_jobs_that_it_cannot_start_set_a_machine_aside() {
    for reason in [
        BROKEN,
        EndReason::RefusedByMachine,
        EndReason::CoordinatorError,
    ] {
        let mut world = one_machine();
        for _ in 1..MOST_NOT_STARTED {
            fails(&mut world, BOB, reason);
            assert_eq!(aside(&world, 10), None);
        }
        let events = fails(&mut world, BOB, reason);
        assert!(
            events
                .iter()
                .any(|event| matches!(event, Event::MachineSetAside { .. }))
        );
        let told = aside(&world, 10).unwrap();
        assert_eq!(told.after, [1, 2, 3].map(JobNumber), "{reason}");
        assert_eq!((told.making, told.reason), (Making::Machine, reason));
        assert_eq!(told.until.since(told.since).as_secs(), 30 * 60);
        assert_eq!(place(&mut world, BOB), None);
    }
}

#[test]
fn a_success_between_the_same_job_or_the_jobs_own_fault_do_not_count() {
    let mut world = one_machine();
    fails(&mut world, BOB, BROKEN);
    fails(&mut world, BOB, BROKEN);
    run(&mut world, BOB, well());
    fails(&mut world, BOB, BROKEN);
    fails(&mut world, BOB, BROKEN);
    // A program that is not there.
    for _ in 0..MOST_NOT_STARTED {
        run(&mut world, BOB, outcome(BROKEN, Some(127)));
    }
    // An image that nobody can have.
    for _ in 0..MOST_NOT_STARTED {
        let number = world.mint();
        let image = JobSpec {
            image: super::rules::pinned_image(),
            ..spec()
        };
        world.submit(BOB, number, image).unwrap();
        let (attempt, _) = world.schedule()[0];
        world.end(attempt, outcome(BROKEN, None));
    }
    for reason in [EndReason::MachineOwner, EndReason::TimeLimit] {
        fails(&mut world, BOB, reason);
        if let Some((attempt, _)) = world.schedule().first().copied() {
            world.succeed(attempt);
        }
    }
    assert_eq!(aside(&world, 10), None);

    // One job of many tasks says so once.
    let number = world.mint();
    world
        .submit(BOB, number, super::world::array(4, None))
        .unwrap();
    for (attempt, _) in world.schedule() {
        world.end(attempt, outcome(BROKEN, None));
    }
    invariants::check(&world);
    assert_eq!(aside(&world, 10), None);
}

#[test]
fn what_runs_goes_on_and_everybody_is_told_why_nothing_new_comes() {
    let mut world = one_machine();
    let (long, _) = place(&mut world, ALICE).unwrap();
    world.start(long);
    for _ in 0..MOST_NOT_STARTED {
        fails(&mut world, BOB, BROKEN);
    }
    assert_eq!(world.live(), [long]);
    let number = world.mint();
    world.submit(BOB, number, spec()).unwrap();
    assert!(world.schedule().is_empty());
    let why = world.why(number);
    assert_eq!(why.blockers[0].code, BlockerCode::MachineSetAside);
    let until = aside(&world, 10).unwrap().until;
    let words = format!(
        "it could not start 3 jobs in a row (last: prepare_failed); a job may try it at {}",
        until.to_second()
    );
    assert_eq!(why.blockers[0].text, format!("set aside: {words} (box)"));
    let change = why.smallest_change.unwrap();
    assert!(
        change.contains("`compute-share machine readmit box`"),
        "{change}"
    );
    assert_eq!(why.expected_start, Some(until));
    assert!(!why.never);

    let shown = show(&world, CAROL);
    assert_eq!(shown.status, MachineStatus::SetAside);
    assert_eq!(shown.status_detail.as_deref(), Some(&*words));
    let told = shown.set_aside.unwrap();
    assert_eq!(told.after, [2, 3, 4].map(JobNumber), "its owner");
    assert_eq!(
        show(&world, BOB).set_aside.unwrap().after.len(),
        3,
        "whose they are"
    );
    world.join(4, "dave", common::status::Role::Member);
    let dave = super::world::user(4);
    assert!(show(&world, dave).set_aside.unwrap().after.is_empty());

    // What ran before says nothing of how it is now.
    world.succeed(long);
    invariants::check(&world);
    assert!(aside(&world, 10).is_some());
    world.state = load(&save(&world.state));
    assert!(world.schedule().is_empty());
    world.connect(10, report(capacity(4, 16)), &[]);
    assert!(world.schedule().is_empty());
}

#[test]
fn one_job_at_a_time_tries_it_and_each_failure_doubles_the_time() {
    let mut world = one_machine();
    for _ in 0..MOST_NOT_STARTED {
        fails(&mut world, BOB, BROKEN);
    }
    for hours in [1, 2, 4] {
        wait_for_trial(&mut world, 10);
        assert_eq!(show(&world, BOB).status, MachineStatus::SetAside);
        fails(&mut world, BOB, BROKEN);
        let told = aside(&world, 10).unwrap();
        assert_eq!(told.until.since(told.since).as_secs(), hours * 3600);
        assert_eq!(told.after.len(), 1);
    }
    wait_for_trial(&mut world, 10);
    let (attempt, _) = place(&mut world, BOB).unwrap();
    invariants::check(&world);
    let second = world.mint();
    world.submit(BOB, second, spec()).unwrap();
    assert!(world.schedule().is_empty(), "one at a time");
    assert_eq!(
        world.why(second).blockers[0].code,
        BlockerCode::MachineSetAside
    );
    // What says nothing of the machine leaves it on trial.
    world.end(attempt, outcome(EndReason::TimeLimit, None));
    let next = world.schedule();
    assert_eq!(next.len(), 1);
    let events = world.end(next[0].0, well());
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::MachineReadmitted { .. }))
    );
    invariants::check(&world);
    assert_eq!(aside(&world, 10), None);
    assert!(place(&mut world, BOB).is_some() && place(&mut world, BOB).is_some());
    // The next time it begins anew.
    for (attempt, _) in world.live().into_iter().map(|id| (id, ())) {
        world.succeed(attempt);
    }
    for _ in 0..MOST_NOT_STARTED {
        fails(&mut world, BOB, BROKEN);
    }
    assert_eq!(aside(&world, 10).unwrap().times, 1);
}

#[test]
fn its_owner_and_admins_let_it_in_at_once() {
    let mut world = one_machine();
    for _ in 0..MOST_NOT_STARTED {
        fails(&mut world, BOB, BROKEN);
    }
    assert_eq!(refused(readmit(&mut world, BOB)).code, Code::Permission);
    assert_eq!(readmit(&mut world, CAROL).unwrap().len(), 1);
    invariants::check(&world);
    assert!(readmit(&mut world, CAROL).unwrap().is_empty(), "it is in");
    assert_eq!(world.state.next_waking(), None);
    assert!(place(&mut world, BOB).is_some());
    for attempt in world.live() {
        world.end(attempt, outcome(BROKEN, None));
    }
    assert_eq!(aside(&world, 10), None, "the count begins anew");
    fails(&mut world, BOB, BROKEN);
    fails(&mut world, BOB, BROKEN);
    assert_eq!(readmit(&mut world, ALICE).unwrap().len(), 1, "an admin");
}

#[test]
fn broken_scripts_of_a_class_take_no_machine_away() {
    let mut world = one_machine();
    world.machine(11, CAROL, "rack", report(capacity(4, 16)));
    for _ in 0..MOST_FAILED * 3 {
        for member in [ALICE, BOB] {
            let number = world.mint();
            if number > 240 {
                return;
            }
            world.submit(member, number, spec()).unwrap();
        }
        for (attempt, _) in world.schedule() {
            world.end(attempt, outcome(EndReason::Exited, Some(1)));
        }
        invariants::check(&world);
        assert_eq!((aside(&world, 10), aside(&world, 11)), (None, None));
    }
}

#[test]
fn programs_of_several_members_that_fail_there_alone_set_it_aside() {
    let mut world = one_machine();
    world.machine(11, CAROL, "rack", report(capacity(4, 16)));
    let both = [machine_id(10), machine_id(11)];
    // As long as the rack is away, there is nothing to be compared with.
    world.disconnect(11);
    for turn in 0..MOST_FAILED {
        let member = if turn % 2 == 0 { ALICE } else { BOB };
        fails(&mut world, member, EndReason::Signalled);
    }
    assert_eq!(aside(&world, 10), None);
    // Elsewhere it goes well.
    world.connect(11, report(capacity(4, 16)), &[]);
    world.disconnect(10);
    assert_eq!(where_to(&[place(&mut world, BOB).unwrap()]), both[1..]);
    for attempt in world.live() {
        world.succeed(attempt);
    }
    world.connect(10, report(capacity(4, 16)), &[]);
    world.disconnect(11);
    // The owner's own do not count.
    fails(&mut world, CAROL, EndReason::Exited);
    assert_eq!(aside(&world, 10), None);
    fails(&mut world, BOB, EndReason::Exited);
    let told = aside(&world, 10).unwrap();
    assert_eq!(
        (told.making, told.after.len()),
        (Making::Program, MOST_FAILED)
    );
    assert!(
        told.words()
            .starts_with("10 jobs in a row failed there, and went well elsewhere")
    );
}

#[test]
fn one_members_programs_say_nothing_of_a_machine() {
    let mut world = one_machine();
    world.machine(11, CAROL, "rack", report(capacity(4, 16)));
    world.disconnect(11);
    for _ in 0..MOST_FAILED {
        fails(&mut world, BOB, EndReason::Exited);
    }
    world.connect(11, report(capacity(4, 16)), &[]);
    world.disconnect(10);
    run(&mut world, BOB, well());
    world.connect(10, report(capacity(4, 16)), &[]);
    world.disconnect(11);
    fails(&mut world, BOB, EndReason::Exited);
    assert_eq!(aside(&world, 10), None);
    fails(&mut world, ALICE, EndReason::Exited);
    assert!(aside(&world, 10).is_some());
}
