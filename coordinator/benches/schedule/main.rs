//! What placing tasks costs: 10,000 machines, a million queued tasks of many shapes. `cargo xtask bench schedule` calls
//! it.
//!
//! `many at once` places tasks on idle machines, pass after pass; `one by one` ends a task on full machines and places
//! whatever comes after it. Only deciding is timed in the columns so named; `all` is with the state changed after it.
//! Machines are of ten kinds, full ones are short of processors, nobody has rules, and no job has data: what those cost is
//! not in here. The slopes compare worlds of 1,000 and 10,000 machines, and of 1,000 and 1,000,000 queued tasks.

mod machines;
#[path = "../people/mod.rs"]
mod people;
mod world;

use std::{env, time::Duration};

use world::World;

/// Most tasks that a pass places, as in the coordinator.
const MOST: u32 = 256;
/// How often a task is ended in a world.
const EVENTS: usize = 4000;
/// Placements a second on one core that have to be reached, and would be fine.
const MUST: f64 = 200_000.0;
const STRETCH: f64 = 1_000_000.0;
/// What 99 of 100 single decisions have to stay below.
const MUST_DECISION: Duration = Duration::from_millis(1);

fn main() {
    // A smaller world is for trying the benchmark itself.
    let part: u64 =
        env::var("SCHEDULE_BENCH_PART").map_or(1, |part| part.parse().expect("a number"));
    let (few_machines, machines) = (1000 / part, 10_000 / part);
    let (few_tasks, tasks) = (1000 / part, 1_000_000 / part);

    let mut world = World::new(machines);
    world.queue(tasks);
    let bulk = world.place_all(usize::MAX);
    let rate = bulk.placed as f64 / bulk.deciding.as_secs_f64();
    println!(
        "many at once: {machines} machines, {tasks} queued, {} placed",
        bulk.placed
    );
    println!(
        "  deciding {rate:.0}/s, at least {MUST}: {}",
        verdict(rate >= MUST)
    );
    println!(
        "  stretch, at least {STRETCH}: {}",
        verdict(rate >= STRETCH)
    );
    println!("  all {:.0}/s", bulk.placed as f64 / bulk.all.as_secs_f64());
    drop(world);

    println!("\none by one, {EVENTS} tasks ended        median       p99      all, mean");
    let mut measured = Vec::new();
    for (machines, tasks) in [
        (few_machines, few_tasks),
        (machines, few_tasks),
        (few_machines, tasks),
        (machines, tasks),
    ] {
        let mut world = World::new(machines);
        world.occupy();
        world.queue(tasks);
        let steady = world.end_one_by_one(EVENTS);
        println!(
            "{machines:>7} machines, {tasks:>8} queued {:>12.1?} {:>9.1?} {:>12.1?}  ({} placed)",
            steady.median, steady.p99, steady.all, steady.placed
        );
        measured.push(steady);
    }
    let ratio = |slow: usize, fast: usize| {
        measured[slow].median.as_secs_f64() / measured[fast].median.as_secs_f64()
    };
    println!(
        "  ten times the machines: {:.2} and {:.2} times the decision",
        ratio(1, 0),
        ratio(3, 2)
    );
    println!(
        "  a thousand times the tasks: {:.2} and {:.2} times",
        ratio(2, 0),
        ratio(3, 1)
    );
    let holds = measured[3].p99 <= MUST_DECISION;
    println!("  p99 at most {MUST_DECISION:?}: {}", verdict(holds));
}

const fn verdict(holds: bool) -> &'static str {
    if holds { "holds" } else { "DOES NOT HOLD" }
}
