//! What a job that waits takes of memory: a million of them are to fit, and no field is to make all of them larger
//! unnoticed.

use common::{
    id::{IdempotencyKey, JobId},
    job::{JobNumber, JobSpec},
    units::{Bytes, MilliCpu},
};

use super::{
    invariants,
    world::{ALICE, BOB, World, spec},
};
use crate::{Event, apply};

/// Single jobs of two members in turns, each with words of its own.
const JOBS: u64 = 4096;
/// Bytes of each, without what the allocator adds. See `cargo xtask bench restart`.
const MOST_BYTES: u64 = 664;

/// Submits them as the engine would, past what a member may have.
fn submitted(world: &mut World) -> Vec<Event> {
    let mut submit = |user, key| {
        let events = world.submit(user, key, spec()).unwrap();
        events
            .into_iter()
            .find(|event| matches!(event, Event::JobSubmitted { .. }))
            .unwrap()
    };
    let models = [submit(ALICE, 1), submit(BOB, 2)];
    let events = (10..10 + JOBS).map(|count| {
        let mut event = models[usize::from(count % 2 == 0)].clone();
        if let Event::JobSubmitted {
            job,
            number,
            key,
            spec,
            ..
        } = &mut event
        {
            let id = u128::from(count).to_be_bytes();
            *job = JobId::from_bytes(id);
            *number = JobNumber(count);
            *key = IdempotencyKey::from_bytes(
                u128::from(count)
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
                    .to_be_bytes(),
            );
            **spec = distinct(count);
        }
        event
    });
    events.collect()
}

fn distinct(count: u64) -> JobSpec {
    let mut spec = JobSpec::of(vec!["true".to_owned(), format!("--seed={count}")]);
    spec.request.cpu = MilliCpu(100);
    spec.request.memory = Bytes::mib(16);
    spec
}

#[test]
fn a_million_single_jobs_that_wait_fit_into_memory() {
    let mut world = World::new();
    let events = submitted(&mut world);
    let held = allocation_counter::measure(|| {
        for event in &events {
            apply(&mut world.state, event);
        }
    });
    let each = u64::try_from(held.bytes_current).unwrap() / JOBS;
    assert!(each <= MOST_BYTES, "{each} bytes of each job");
}

#[test]
fn what_was_read_again_takes_no_more() {
    let mut world = World::new();
    for event in submitted(&mut world) {
        apply(&mut world.state, &event);
    }
    let rows = invariants::save(&world.state);
    let mut read = None;
    let held = allocation_counter::measure(|| {
        read = Some(invariants::load(&rows));
    });
    assert!(read.is_some_and(|read| read.index == world.state.index));
    let each = u64::try_from(held.bytes_current).unwrap() / JOBS;
    assert!(each <= MOST_BYTES, "{each} bytes of each job");
}
