//! The coordinator alone: its machine runs nothing and says at once that all has ended. And 64 members who submit one job
//! after the other, each on a session of their own, while no machine is there.

use anyhow::{Context, Result};

use super::{
    Bench, MACHINE, ROUNDS, done,
    rig::Skeleton,
    table::{Bound, Target},
};
use crate::{bench::process::cpu_seconds, pool::Pool};

/// Jobs of the skeleton, tasks of an array and single jobs in a round.
const FLOOR_JOBS: u32 = 100_000;
const TASKS: u32 = 20_000;
const SINGLES: u32 = 5_000;
/// What the members submit in a round, and commits beside it.
const SUBMITTED: u32 = 10_000;
const COMMITS: u32 = 2_000;
const MEMBERS: &str = "64";

const ARRAY: Target = Target {
    number: "4",
    what: "tasks a second, array, nothing runs",
    floor: "skeleton, nothing runs",
    bound: Some(Bound::AtLeast {
        must: 0.2,
        stretch: 0.4,
    }),
};
const SINGLE: Target = Target {
    what: "single jobs a second, 64 sessions, nothing runs",
    ..ARRAY
};
const ARRAY_CPU: Target = Target {
    number: "4",
    what: "coordinator's processor, µs a task",
    floor: "",
    bound: Some(Bound::AtMost {
        must: 20.0,
        stretch: 10.0,
    }),
};
const SINGLE_CPU: Target = Target {
    what: "coordinator's processor, µs a single job",
    ..ARRAY_CPU
};
const MANY: Target = Target {
    number: "5",
    what: "jobs a second by 64 members, one by one",
    floor: "commits of one row",
    bound: Some(Bound::AtLeast {
        must: 3.0,
        stretch: 6.0,
    }),
};

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    let (pool, bob) = bench.pool()?;
    pool.register(&bob, MACHINE)?;
    let skeleton = Skeleton::start(&bench.rig, pool.stage.path(), true)?;
    let jobs = bench.of(FLOOR_JOBS);
    for round in 1..=ROUNDS {
        let machine = bench.rig.machine_that_stays(&bob)?;
        let floor = skeleton.at_once(jobs)?;
        let (tasks, count) = (bench.of(TASKS), bench.of(TASKS).to_string());
        let (rate, cpu) = one(bench, &pool, tasks, &["array", &count, "--to-end"])?;
        bench.table.add(ARRAY, rate, floor);
        bench.table.note(ARRAY_CPU, cpu);

        let floor = skeleton.at_once(jobs)?;
        let (singles, count) = (bench.of(SINGLES), bench.of(SINGLES).to_string());
        let members = ["singles", &count, "--clients", MEMBERS, "--to-end"];
        let (rate, cpu) = one(bench, &pool, singles, &members)?;
        bench.table.add(SINGLE, rate, floor);
        bench.table.note(SINGLE_CPU, cpu);
        drop(machine);

        let floor = bench.rig.commits(pool.stage.path(), bench.of(COMMITS))?;
        let (submitted, count) = (bench.of(SUBMITTED), bench.of(SUBMITTED).to_string());
        let members = ["singles", &count, "--clients", MEMBERS];
        let took = bench.rig.member(&pool.alice, &members)?.concat();
        let seconds = took.first().context("how long submitting took")?;
        bench.table.add(MANY, f64::from(submitted) / seconds, floor);
        bench.rig.machine(&bob, submitted)?.left()?;
        done("control", round);
    }
    Ok(())
}

/// Returns how many jobs a second there were from their submission to the end of the last, and what each cost the
/// coordinator, in microseconds of a processor.
fn one(bench: &Bench, pool: &Pool, count: u32, does: &[&str]) -> Result<(f64, f64)> {
    let coordinator = u64::from(pool.coordinator.id());
    let before = cpu_seconds(coordinator)?;
    let took = bench.rig.member(&pool.alice, does)?.concat();
    let [_, seconds] = took[..].try_into().context("two figures")?;
    let cpu = cpu_seconds(coordinator)? - before;
    let count = f64::from(count);
    Ok((count / seconds, cpu / count * 1e6))
}
