//! Small jobs that never stop coming, and a large one among them.

use common::job::JobSpec;

use super::{
    invariants,
    world::{ALICE, BOB, CAROL, World, asking, capacity, job_id, report},
};

const MINUTE: u64 = 60;

/// Lets small jobs of bob's fill the machines and one come every five minutes, as the oldest ends, until a large one of
/// carol's runs, which has number 200; it must within so many of them.
pub(super) fn starts_among_small_ones(
    world: &mut World,
    (small, fill): (&JobSpec, u8),
    large: JobSpec,
    most: u32,
) {
    const LARGE: u8 = 200;
    let tasks = large.task_count();
    for number in 30..30 + fill {
        world.submit(BOB, number, small.clone()).unwrap();
    }
    world.schedule();
    world.submit(CAROL, LARGE, large).unwrap();
    let mut rounds = 0;
    for number in 30 + fill..LARGE {
        if world.state.progress[&job_id(LARGE)].counts.queued == 0 {
            break;
        }
        rounds += 1;
        assert!(rounds < most, "it never starts");
        world.wait(5 * MINUTE);
        if let Some(oldest) = world.live().first() {
            world.succeed(*oldest);
        }
        world.submit(BOB, number, small.clone()).unwrap();
        world.schedule();
        invariants::check(world);
    }
    let counts = world.state.progress[&job_id(LARGE)].counts;
    assert_eq!(counts.running, tasks);
}

#[test]
fn a_stream_of_small_jobs_keeps_no_large_one_waiting() {
    // Nobody says how long anything runs.
    let mut world = World::new();
    world.machine(10, ALICE, "box", report(capacity(4, 64)));
    starts_among_small_ones(&mut world, (&asking(1, 1), 6), asking(4, 4), 40);
}
