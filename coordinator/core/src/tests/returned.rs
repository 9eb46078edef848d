//! Machines that owners take back: nothing is billed, the task goes elsewhere, and it was no try.

use std::time::Duration;

use common::{
    api::explain::BlockerCode,
    id::{AttemptId, MachineId},
    job::{JobSpec, Retries},
    machine::{MachineReport, Pause, PausedBy},
    status::{EndReason, JobStatus},
};

use super::{
    invariants,
    world::{ALICE, BOB, World, capacity, job_id, machine_id, outcome, report, spec},
};
use crate::{
    Actor, Body, Event,
    event::TaskFate,
    lifecycle::attempt::AttemptState,
    schedule::explain::{Subject, explain},
};

const BACK: &str = "its owner came back to the keyboard";

fn take_back(world: &mut World, attempt: AttemptId) -> TaskFate {
    let mut outcome = outcome(EndReason::MachineOwner, None);
    outcome.detail = Some(BACK.to_owned());
    fate(&world.end(attempt, outcome))
}

fn fate(events: &[Event]) -> TaskFate {
    let fates = events.iter().find_map(|event| match event {
        Event::AttemptEnded { fate, .. } => Some(*fate),
        _ => None,
    });
    fates.expect("the attempt has ended")
}

fn retrying(max: u32) -> JobSpec {
    JobSpec {
        retries: Retries {
            max,
            ..Retries::default()
        },
        ..spec()
    }
}

fn pause(world: &mut World, number: u8, paused: Option<&str>) {
    let pause = |reason: &str| Pause {
        until: None,
        reason: reason.to_owned(),
        by: PausedBy::Rule,
    };
    let report = MachineReport {
        paused: paused.map(pause),
        ..report(capacity(4, 8))
    };
    let actor = Actor::Machine(machine_id(number));
    world.must(actor, Body::ReportMachine { report });
}

#[test]
fn a_task_goes_elsewhere_unbilled_and_is_told_why() {
    let mut world = World::new();
    world.machine(10, BOB, "desk", report(capacity(4, 8)));
    world.machine(11, ALICE, "rack", report(capacity(4, 8)));
    world.submit(BOB, 30, spec()).unwrap();
    let (first, on) = world.schedule()[0];
    assert_eq!(on, machine_id(10), "the own machine comes first");
    world.start(first);
    assert_eq!(take_back(&mut world, first), TaskFate::Requeued);
    let AttemptState::Ended(outcome) = &world.state.attempts[&first].state else {
        panic!("it has ended");
    };
    assert!(!outcome.reason.billed());
    assert_eq!(outcome.detail.as_deref(), Some(BACK));
    // It lends again at once, and is still not the one that is chosen.
    let (second, on) = world.schedule()[0];
    assert_eq!(on, machine_id(11));
    assert_eq!(second.number, 2);
    invariants::check(&world);

    // Where nothing else fits it is better than none.
    world.disconnect(11);
    world.expire(11);
    let (third, on) = world.schedule()[0];
    assert_eq!((third.number, on), (3, machine_id(10)));
    world.succeed(third);
    assert_eq!(
        world.state.progress[&job_id(30)].status(),
        JobStatus::Succeeded
    );
    invariants::check(&world);
}

#[test]
fn it_waits_with_the_owners_reason_while_nothing_else_fits() {
    let mut world = World::new();
    world.machine(10, ALICE, "desk", report(capacity(4, 8)));
    world.submit(BOB, 30, spec()).unwrap();
    let (first, _) = world.schedule()[0];
    pause(&mut world, 10, Some("its owner is at the keyboard"));
    take_back(&mut world, first);
    assert!(world.schedule().is_empty());
    let (job, progress) = (
        &world.state.jobs[&job_id(30)],
        &world.state.progress[&job_id(30)],
    );
    let explanation = explain(
        &world.state,
        world.now,
        &Subject::of(job_id(30), job, progress),
    );
    let blocker = &explanation.blockers[0];
    assert_eq!(blocker.code, BlockerCode::MachinePaused);
    assert_eq!(
        blocker.text,
        "lends nothing at the moment: its owner is at the keyboard (desk)"
    );
    assert_eq!(
        explanation.smallest_change.as_deref(),
        Some("desk is lent again, once this has passed: its owner is at the keyboard")
    );
    assert!(!explanation.never);
    pause(&mut world, 10, None);
    assert_eq!(world.schedule().len(), 1);
}

#[test]
fn a_rule_does_not_hold_its_owners_own_jobs_unless_they_yield_too() {
    let mut world = World::new();
    world.machine(10, BOB, "desk", report(capacity(4, 8)));
    pause(&mut world, 10, Some("its owner is at the keyboard"));
    world.submit(ALICE, 30, spec()).unwrap();
    world.submit(BOB, 31, spec()).unwrap();
    let placed = world.schedule();
    assert_eq!(placed.len(), 1);
    assert_eq!(placed[0].0.job, job_id(31));
    invariants::check_waiting_is_explained(&world);
    // The owner's file has it so: the rule holds for this task from now on.
    take_back(&mut world, placed[0].0);
    assert!(world.schedule().is_empty());
    invariants::check_waiting_is_explained(&world);
    pause(&mut world, 10, None);
    assert_eq!(world.schedule().len(), 2);

    // What the owner commands holds for everybody.
    let mut world = World::new();
    world.machine(10, BOB, "desk", report(capacity(4, 8)));
    let paused = MachineReport {
        paused: Some(Pause {
            until: None,
            reason: String::new(),
            by: PausedBy::Command,
        }),
        ..report(capacity(4, 8))
    };
    world.connect(10, paused, &[]);
    world.submit(BOB, 31, spec()).unwrap();
    assert!(world.schedule().is_empty());
}

#[test]
fn machines_taken_back_are_no_tries_but_not_for_ever() {
    let mut world = World::new();
    world.machine(10, ALICE, "desk", report(capacity(4, 8)));
    let next = |world: &mut World| -> (AttemptId, MachineId) { world.schedule()[0] };
    world.submit(BOB, 30, retrying(1)).unwrap();
    for _ in 0..5 {
        let (attempt, _) = next(&mut world);
        assert_eq!(take_back(&mut world, attempt), TaskFate::Requeued);
    }
    // One loss is left to it, and only one.
    for expect in [TaskFate::Requeued, TaskFate::Failed] {
        let (attempt, _) = next(&mut world);
        let events = world.end(attempt, outcome(EndReason::MachineLost, None));
        assert_eq!(fate(&events), expect);
    }
    // Whoever wants no second try gets none, and who does not name this reason neither.
    world.submit(BOB, 31, retrying(0)).unwrap();
    let (attempt, _) = next(&mut world);
    assert_eq!(take_back(&mut world, attempt), TaskFate::Failed);
    let mut picky = retrying(3);
    picky.retries.on = vec![EndReason::MachineLost];
    world.submit(BOB, 32, picky).unwrap();
    let (attempt, _) = next(&mut world);
    assert_eq!(take_back(&mut world, attempt), TaskFate::Failed);

    world.submit(BOB, 33, retrying(1)).unwrap();
    let mut tries = 0;
    loop {
        let (attempt, _) = next(&mut world);
        tries += 1;
        if take_back(&mut world, attempt) == TaskFate::Failed {
            break;
        }
    }
    assert_eq!(tries, 101);
    invariants::check(&world);
}

#[test]
fn a_pause_with_an_end_is_when_it_should_start() {
    let mut world = World::new();
    let until = world.now.saturating_add(Duration::from_secs(600));
    let pausing = |until| MachineReport {
        paused: Some(Pause {
            until,
            reason: String::new(),
            by: PausedBy::Command,
        }),
        ..report(capacity(4, 8))
    };
    world.machine(10, ALICE, "desk", pausing(Some(until)));
    world.submit(BOB, 30, spec()).unwrap();
    let explained = |world: &World| {
        let id = job_id(30);
        let (job, progress) = (&world.state.jobs[&id], &world.state.progress[&id]);
        explain(&world.state, world.now, &Subject::of(id, job, progress))
    };
    let explanation = explained(&world);
    assert_eq!(explanation.expected_start, Some(until));
    let text = &explanation.blockers[0].text;
    assert_eq!(
        *text,
        format!(
            "lends nothing at the moment: its owner has paused it until {} (desk)",
            until.to_second()
        )
    );
    world.connect(10, pausing(None), &[]);
    assert_eq!(explained(&world).expected_start, None);
}

#[test]
fn what_was_taken_back_from_one_task_is_there_for_the_owners_next() {
    let mut world = World::new();
    world.machine(10, BOB, "desk", report(capacity(4, 8)));
    world.machine(11, BOB, "lathe", report(capacity(4, 8)));
    world.submit(BOB, 30, spec()).unwrap();
    let (first, on) = world.schedule()[0];
    for machine in [10, 11] {
        pause(&mut world, machine, Some("its owner is at the keyboard"));
    }
    take_back(&mut world, first);
    // The older job is not let back to the one machine, and goes to the other.
    let (second, other) = world.schedule()[0];
    assert_ne!(on, other);
    take_back(&mut world, second);
    assert_eq!(world.schedule(), []);
    // The younger one asks for as much.
    world.submit(BOB, 31, spec()).unwrap();
    let (third, _) = world.schedule()[0];
    assert_eq!(third.job, job_id(31));
    invariants::check_waiting_is_explained(&world);
    invariants::check(&world);
}
