//! What becomes of what gives way, and of the place.

use common::{
    job::{JobSpec, Retries},
    status::{EndReason, JobStatus, Priority},
    time::Span,
    wire::agent::AttemptReport,
};

use super::{MINUTE, crowded, gave_way, give_way, high, jobs, low, of, pass_time, run, set};
use crate::tests::{
    invariants,
    world::{
        ALICE, BOB, CAROL, World, array, asking, capacity, job_id, machine_id, outcome, report,
    },
};

#[test]
fn giving_way_is_no_try_and_happens_to_a_task_only_so_often() {
    let mut world = crowded(Vec::new());
    let once = JobSpec {
        retries: Retries {
            max: 1,
            ..Retries::default()
        },
        ..low(4)
    };
    world.submit(BOB, 30, once).unwrap();
    run(&mut world);
    for number in 40..43 {
        world.wait(15 * MINUTE);
        world.submit(CAROL, number, high(4)).unwrap();
        world.schedule();
        assert_eq!(jobs(&pass_time(&mut world, 70)), [job_id(30)]);
        give_way(&mut world);
        let (urgent, _) = run(&mut world)[0];
        assert_eq!(urgent.job, job_id(number));
        world.succeed(urgent);
        assert_eq!(run(&mut world)[0].0.job, job_id(30));
    }
    // It gave way three times: now it runs to its end, before guests and not before the owner.
    world.submit(CAROL, 43, high(4)).unwrap();
    assert!(gave_way(&pass_time(&mut world, 60 * MINUTE)).is_empty());
    world.cancel(CAROL, 5, None).unwrap();
    world.submit(ALICE, 44, low(4)).unwrap();
    world.schedule();
    assert_eq!(jobs(&pass_time(&mut world, 70)), [job_id(30)]);
    give_way(&mut world);
    let (own, _) = run(&mut world)[0];
    world.succeed(own);
    // Its one retry is still there, for what counts.
    let (again, _) = run(&mut world)[0];
    assert_eq!(again.number, 5);
    world.end(again, outcome(EndReason::MachineLost, None));
    let (last, _) = run(&mut world)[0];
    world.end(last, outcome(EndReason::MachineLost, None));
    assert_eq!(
        world.state.progress[&job_id(30)].status(),
        JobStatus::Failed
    );
    invariants::check(&world);
}

#[test]
fn who_gave_way_takes_nobodys_place_in_turn() {
    let mut world = crowded(vec![asking(4, 1)]);
    world.machine(11, ALICE, "other", report(capacity(4, 64)));
    world.submit(BOB, 31, low(4)).unwrap();
    run(&mut world);
    // What is of lower priority still began just now.
    world.submit(CAROL, 40, high(4)).unwrap();
    world.schedule();
    assert_eq!(jobs(&pass_time(&mut world, 70)), [job_id(30)]);
    give_way(&mut world);
    run(&mut world);
    assert!(gave_way(&pass_time(&mut world, 60 * MINUTE)).is_empty());
    assert_eq!(world.why(30).preempts, None);
    // Another one of its priority may.
    world.submit(CAROL, 41, asking(4, 1)).unwrap();
    world.schedule();
    assert_eq!(jobs(&pass_time(&mut world, 70)), [job_id(31)]);
}

#[test]
fn only_the_coordinator_says_that_something_gave_way() {
    let mut world = World::new();
    world.machine(10, BOB, "box", report(capacity(4, 64)));
    let once = JobSpec {
        retries: Retries {
            max: 1,
            ..Retries::default()
        },
        ..low(4)
    };
    world.submit(BOB, 30, once).unwrap();
    for _ in 0..2 {
        let (attempt, _) = run(&mut world)[0];
        world.end(attempt, outcome(EndReason::Preempted, None));
    }
    assert_eq!(
        world.state.progress[&job_id(30)].status(),
        JobStatus::Failed
    );
}

#[test]
fn what_gives_way_can_be_cancelled_meanwhile_or_end_by_itself() {
    let begin = || {
        let mut world = crowded(vec![low(4)]);
        world.submit(CAROL, 40, high(2)).unwrap();
        world.schedule();
        let (victim, _) = gave_way(&pass_time(&mut world, 70))[0];
        (world, victim)
    };
    for task in [None, Some(0)] {
        let (mut world, victim) = begin();
        world.cancel(BOB, 1, task).unwrap();
        world.end(victim, outcome(EndReason::Preempted, None));
        let status = world.state.progress[&job_id(30)].status();
        assert_eq!(status, JobStatus::Cancelled);
        invariants::check(&world);
    }
    let (mut world, victim) = begin();
    world.succeed(victim);
    let status = world.state.progress[&job_id(30)].status();
    assert_eq!(status, JobStatus::Succeeded);
    assert_eq!(world.schedule()[0].0.job, job_id(40));
    invariants::check(&world);
}

#[test]
fn a_place_is_kept_as_long_as_it_is_wanted() {
    let kept = |world: &World| world.state.volatile.reserved.of(machine_id(10)).is_some();
    let begin = || {
        let mut world = crowded(vec![low(4)]);
        set(&mut world, "reserved_after", "forever");
        world.submit(CAROL, 40, high(2)).unwrap();
        world.schedule();
        pass_time(&mut world, 70);
        assert!(kept(&world));
        world
    };
    let mut cancelled = begin();
    cancelled.cancel(CAROL, 2, None).unwrap();
    assert!(!kept(&cancelled));
    let mut gone = begin();
    gone.disconnect(10);
    assert!(!kept(&gone));
    // It never ends: another machine may be sooner.
    let mut late = begin();
    late.submit(BOB, 31, low(1)).unwrap();
    pass_time(&mut late, 80);
    assert!(kept(&late));
    late.submit(BOB, 32, low(1)).unwrap();
    pass_time(&mut late, 20);
    assert!(!kept(&late));
    late.machine(11, ALICE, "other", report(capacity(4, 64)));
    assert_eq!(late.schedule()[0].0.job, job_id(40));
    invariants::check(&late);
}

#[test]
fn nobody_is_let_in_for_as_long_as_what_gives_way_might_have_run() {
    let for_hours = |hours: u64, spec: JobSpec| JobSpec {
        max_runtime: Some(Span::from_secs(hours * 60 * MINUTE)),
        ..spec
    };
    let mut world = crowded(vec![for_hours(10, low(3))]);
    world.submit(CAROL, 40, high(4)).unwrap();
    world.schedule();
    assert_eq!(jobs(&pass_time(&mut world, 70)), [job_id(30)]);
    world.submit(BOB, 31, for_hours(1, low(1))).unwrap();
    assert!(world.schedule().is_empty());
    give_way(&mut world);
    let placed: Vec<_> = run(&mut world).iter().map(|(id, _)| id.job).collect();
    assert_eq!(placed, [job_id(40)]);
}

#[test]
fn after_a_restart_who_took_a_place_comes_first_there() {
    let mut world = crowded(vec![low(4)]);
    world.submit(CAROL, 40, high(2)).unwrap();
    world.schedule();
    assert_eq!(jobs(&pass_time(&mut world, 70)), [job_id(30)]);
    world.state = invariants::load(&invariants::save(&world.state));
    let attempts = world.live();
    world.connect(10, report(capacity(4, 64)), &attempts);
    assert!(world.schedule().is_empty());
    // It is on its way already: nothing else has to go.
    assert!(gave_way(&pass_time(&mut world, 20)).is_empty());
    give_way(&mut world);
    let placed: Vec<_> = run(&mut world).iter().map(|(id, _)| id.job).collect();
    assert_eq!(placed, [job_id(40)]);
    invariants::check(&world);
}

#[test]
fn what_waits_behind_one_that_gives_way_does_not_come_into_its_place() {
    let mut world = World::new();
    world.machine(10, ALICE, "box", report(capacity(1, 8)));
    world
        .submit(BOB, 30, of(Priority::Low, array(4, None)))
        .unwrap();
    let (first, _) = world.schedule()[0];
    world.start(first);
    let mut short = outcome(EndReason::Exited, Some(0));
    short.usage.wall = Span::from_millis(10);
    world.wait(1);
    world.end(first, short);
    let placed = world.schedule();
    let (second, behind) = placed.split_first().unwrap();
    assert_eq!(behind.len(), 2);
    world.start(second.0);

    world.wait(15 * MINUTE);
    world.submit(CAROL, 40, high(1)).unwrap();
    world.schedule();
    let events = pass_time(&mut world, 70);
    assert_eq!(gave_way(&events), [(second.0, job_id(40))]);
    give_way(&mut world);
    invariants::check(&world);
    // Its machine says that neither of them has begun.
    for (waits, _) in behind {
        assert!(world.schedule().is_empty());
        world.report(*waits, AttemptReport::Returned).unwrap();
        invariants::check(&world);
    }
    assert_eq!(world.schedule()[0].0.job, job_id(40));
}

#[test]
fn a_machine_lost_in_the_grace_is_no_fault_of_who_gives_way() {
    let once = JobSpec {
        retries: Retries {
            max: 1,
            on: vec![EndReason::Preempted],
            ..Retries::default()
        },
        ..low(4)
    };
    let mut world = crowded(vec![once]);
    world.submit(CAROL, 40, high(4)).unwrap();
    world.schedule();
    assert_eq!(jobs(&pass_time(&mut world, 70)), [job_id(30)]);
    // It comes back without it.
    world.disconnect(10);
    world.connect(10, report(capacity(4, 64)), &[]);
    invariants::check(&world);
    assert_eq!(run(&mut world)[0].0.job, job_id(40));
    assert_eq!(world.why(30).status, JobStatus::Queued);
}
