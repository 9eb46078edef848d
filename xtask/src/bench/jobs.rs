//! `cargo xtask bench jobs`: what jobs cost from submission to end, with the real daemons on loopback, beside floors that
//! are measured in the same rounds: plain starts of a program, a book's commits, and the skeleton of a coordinator and an
//! agent that decide nothing. Judge the ratios; absolute figures are this machine's.
//!
//! The floors start programs as they are, while our tasks run as the agent runs all of them: in a sandbox, with a
//! supervisor and a log. What a sandbox alone costs is `bench launch`. `JOBS_BENCH_PART=10` divides every count, to try
//! the benchmark itself; `JOBS_BENCH_QUEUED=1000000` is how many single jobs wait in the deep queue.

mod control;
mod deep;
mod latency;
mod rig;
mod table;
mod tasks;

use std::{env, path::PathBuf, time::Duration};

use anyhow::{Context, Result};

use self::{rig::Rig, table::Table};
use crate::{
    person::{Person, Voice},
    pool::Pool,
    stage::Stage,
    workspace::{Profile, build_programs, cargo, run as run_in_root, target},
};

/// One part, on a machine under load.
const LIMIT: Duration = Duration::from_secs(1800);
/// How often floor and product take turns.
const ROUNDS: u32 = 5;
/// Single jobs of the deep queue.
const QUEUED: u32 = 100_000;
const MACHINE: &str = "box";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// From submission to start, and the whole command line.
    Latency,
    /// Tasks that do nothing, through one agent.
    Tasks,
    /// The coordinator with a machine that runs nothing, and 64 members who submit at once.
    Control,
    /// A million tasks in the queue, and what a restart takes with them.
    Deep,
}

/// Fills the table with one part's figures.
type Measure = fn(&mut Bench) -> Result<()>;

/// What the measurements share.
#[derive(Debug)]
struct Bench {
    programs: PathBuf,
    rig: Rig,
    part: u32,
    queued: u32,
    table: Table,
}

/// Runs these parts, or all of them.
///
/// # Errors
/// The build fails, or something does not end as it should.
pub(crate) fn run(parts: &[Part]) -> Result<()> {
    let programs = build_programs(Profile::Release)?;
    let build = ["build", "--locked", "--release", "-p", "compute-share-rig"];
    run_in_root(&mut cargo(&build))?;
    let mut bench = Bench {
        programs,
        rig: Rig(target()?.join("release/compute-share-rig")),
        part: from_environment("JOBS_BENCH_PART", 1)?,
        queued: from_environment("JOBS_BENCH_QUEUED", QUEUED)?,
        table: Table::default(),
    };
    let measure: [(Part, Measure); 4] = [
        (Part::Latency, latency::measure),
        (Part::Tasks, tasks::measure),
        (Part::Control, control::measure),
        (Part::Deep, deep::measure),
    ];
    println!("{ROUNDS} rounds; our tasks run in sandboxes, the floors' programs do not");
    for (part, measure) in measure {
        if parts.is_empty() || parts.contains(&part) {
            measure(&mut bench)?;
        }
    }
    bench.table.print();
    Ok(())
}

fn from_environment(name: &str, otherwise: u32) -> Result<u32> {
    let Ok(value) = env::var(name) else {
        return Ok(otherwise);
    };
    let value = value.parse().ok().filter(|value| *value > 0);
    value.with_context(|| format!("{name} is not a number above 0"))
}

impl Bench {
    /// Returns how many there are of what should be so many.
    fn of(&self, whole: u32) -> u32 {
        (whole / self.part).max(1)
    }

    /// Returns a new org, and who owns its machine, which is not there yet.
    fn pool(&self) -> Result<(Pool, Person)> {
        let stage = Stage::open("compute-share-bench-", LIMIT)?;
        let pool = Pool::open(stage, &self.programs, Voice::Silent)?;
        let bob = pool.member("bob")?;
        Ok((pool, bob))
    }
}

/// Says how far it is, and how busy the machine.
fn done(what: &str, round: u32) {
    println!("{what}, round {round} of {ROUNDS}; load {}", super::load());
}
