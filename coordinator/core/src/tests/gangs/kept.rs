//! Machines that are kept free for gangs, so that streams of small jobs do not keep them waiting for ever.

use common::{
    job::JobSpec,
    status::{EndReason, Priority},
    time::Span,
};

use super::{gang, pool};
use crate::tests::{
    invariants,
    stream::starts_among_small_ones,
    world::{BOB, CAROL, ORG, World, asking, job_id, outcome},
};

const MINUTE: u64 = 60;

fn running_for(minutes: u64, spec: JobSpec) -> JobSpec {
    JobSpec {
        max_runtime: Some(Span::from_secs(minutes * MINUTE)),
        ..spec
    }
}

fn kept(world: &World, number: u8) -> usize {
    let reserved = &world.state.volatile.reserved;
    reserved.machines(ORG, job_id(number)).count()
}

/// Returns three machines, each busy for so many minutes, and a gang of carol's that waited for a quarter of an hour
/// for all of them.
fn crowded(minutes: [u64; 3]) -> World {
    let mut world = pool(3);
    for (number, minutes) in (30..).zip(minutes) {
        let spec = running_for(minutes, asking(4, 4));
        world.submit(BOB, number, spec).unwrap();
    }
    assert_eq!(world.schedule().len(), 3);
    world.submit(CAROL, 40, gang(3, asking(4, 4))).unwrap();
    assert!(world.schedule().is_empty());
    world.wait(15 * MINUTE);
    world
}

#[test]
fn a_stream_of_small_jobs_keeps_no_gang_waiting() {
    let large = gang(4, asking(4, 4));
    starts_among_small_ones(&mut pool(4), (&asking(2, 1), 10), large, 60);
}

#[test]
fn what_ends_before_all_of_it_could_begin_runs_meanwhile() {
    let mut world = crowded([20, 30, 60]);
    let running = world.live();
    world.succeed(running[0]);
    // The gang begins in three quarters of an hour at the earliest.
    world
        .submit(BOB, 50, running_for(60, asking(1, 1)))
        .unwrap();
    world
        .submit(BOB, 51, running_for(40, asking(1, 1)))
        .unwrap();
    let placed: Vec<_> = world.schedule().iter().map(|(id, _)| id.job).collect();
    assert_eq!(placed, [job_id(51)]);
    assert_eq!(kept(&world, 40), 3);
    assert_eq!(world.why(40).kept.len(), 3);
    invariants::check(&world);
    invariants::check_waiting_is_explained(&world);
    for attempt in world.live() {
        world.succeed(attempt);
    }
    let placed = world.schedule();
    assert_eq!(placed.len(), 3);
    assert!(placed.iter().all(|(id, _)| id.job == job_id(40)));
    assert_eq!(kept(&world, 40), 0);
}

#[test]
fn what_ends_before_its_time_lets_it_begin_earlier() {
    let mut world = crowded([20, 60, 60]);
    let running = world.live();
    world.succeed(running[1]);
    assert!(world.schedule().is_empty());
    assert_eq!(kept(&world, 40), 3);
    // Now only the first one is in the way, for five minutes more.
    world.succeed(running[2]);
    let long = running_for(20, asking(1, 1));
    world.submit(BOB, 50, long).unwrap();
    let short = running_for(3, asking(1, 1));
    world.submit(BOB, 51, short).unwrap();
    let placed: Vec<_> = world.schedule().iter().map(|(id, _)| id.job).collect();
    assert_eq!(placed, [job_id(51)]);
    invariants::check(&world);
    invariants::check_waiting_is_explained(&world);
}

/// Returns after how many minutes both machines are kept for a gang of carol's, who had them for long before, while jobs
/// of bob's wait for each; `None` if that is not so within an hour.
fn minutes_until_kept(small: &JobSpec) -> Option<u64> {
    const STEP: u64 = 5;
    let mut world = pool(2);
    for number in [30, 31] {
        world.submit(CAROL, number, asking(4, 4)).unwrap();
    }
    let had = world.schedule();
    world.wait(600 * MINUTE);
    world.submit(CAROL, 40, gang(2, asking(4, 4))).unwrap();
    for number in 50..80 {
        world.submit(BOB, number, small.clone()).unwrap();
    }
    for (attempt, _) in had {
        let mut outcome = outcome(EndReason::Exited, Some(0));
        outcome.usage.wall = Span::from_secs(600 * MINUTE);
        world.end(attempt, outcome);
    }
    for waited in 0..60 / STEP {
        world.schedule();
        invariants::check(&world);
        if kept(&world, 40) == 2 {
            return Some(waited * STEP);
        }
        world.wait(STEP * MINUTE);
        let oldest = world.live()[0];
        world.succeed(oldest);
    }
    None
}

#[test]
fn who_had_more_than_others_has_machines_kept_for_a_gang_in_the_end() {
    let small = running_for(10, asking(4, 4));
    assert_eq!(minutes_until_kept(&small), Some(30));
    let urgent = JobSpec {
        priority: Priority::High,
        ..small
    };
    assert_eq!(minutes_until_kept(&urgent), None);
}

#[test]
fn where_one_of_its_machines_goes_the_others_are_not_kept_in_vain() {
    let mut world = crowded([20, 30, 60]);
    let running = world.live();
    world.succeed(running[0]);
    world.submit(BOB, 50, asking(1, 1)).unwrap();
    assert!(world.schedule().is_empty());
    assert_eq!(kept(&world, 40), 3);
    let last = world.state.attempts[&running[2]].machine;
    world.disconnect(last.as_bytes()[0]);
    let placed: Vec<_> = world.schedule().iter().map(|(id, _)| id.job).collect();
    assert_eq!(placed, [job_id(50)]);
    assert_eq!(kept(&world, 40), 0);
    invariants::check(&world);
}
