//! From submission to start: over a session that stays, and by the whole command line.

use std::process::Command;

use anyhow::{Context, Result};

use super::{
    Bench, MACHINE, ROUNDS, done,
    rig::Skeleton,
    table::{Bound, Target},
};
use crate::{
    bench::{NOTHING, samples::Samples, time},
    pool::Pool,
    workspace::is_there,
};

/// Single jobs of a round.
const JOBS: u32 = 40;
/// Whole command lines of a round.
const COMMANDS: u32 = 20;

const STARTED: Target = Target {
    number: "1",
    what: "submitted to started, idle agent: median, ms",
    floor: "skeleton, whole `true`",
    bound: Some(Bound::AtMost {
        must: 2.0,
        stretch: 1.3,
    }),
};
const ENDED: Target = Target {
    number: "1",
    what: "submitted to ended: median, ms",
    floor: "skeleton, whole `true`",
    bound: None,
};
const SPREAD: Target = Target {
    number: "1",
    what: "submitted to started: p99 / median",
    floor: "",
    bound: Some(Bound::AtMost {
        must: 3.0,
        stretch: 2.0,
    }),
};
const COMMAND: Target = Target {
    number: "1b",
    what: "whole `run --no-workdir -- true`: median, ms",
    floor: "plain start of `true`",
    bound: None,
};
const BESIDE_SRUN: Target = Target {
    number: "1b",
    what: "the same beside Slurm: median, ms",
    floor: "`srun -n1 true`",
    bound: Some(Bound::AtMost {
        must: 0.4,
        stretch: 0.2,
    }),
};

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    let (pool, bob) = bench.pool()?;
    pool.lend(&bob, MACHINE)?;
    sessions(bench, &pool)?;
    commands(bench, &pool)
}

/// Over one session, without the start of a process and a handshake for each job.
fn sessions(bench: &mut Bench, pool: &Pool) -> Result<()> {
    let skeleton = Skeleton::start(&bench.rig, pool.stage.path(), false)?;
    let jobs = bench.of(JOBS);
    let count = jobs.to_string();
    // Not counted: the first use of anything.
    skeleton.one_by_one(jobs)?;
    bench.rig.member(&pool.alice, &["one-by-one", &count])?;
    let mut all = Samples::default();
    for round in 1..=ROUNDS {
        let [mut floor, mut started, mut ended] = [const { Samples::none() }; 3];
        for took in skeleton.one_by_one(jobs)? {
            floor.add(took);
        }
        for line in bench.rig.member(&pool.alice, &["one-by-one", &count])? {
            let [to_start, to_end] = line[..].try_into().context("two figures a job")?;
            started.add(to_start);
            all.add(to_start);
            ended.add(to_end);
        }
        let table = &mut bench.table;
        table.add(STARTED, started.median(), floor.median());
        table.add(ENDED, ended.median(), floor.median());
        done("sessions", round);
    }
    bench.table.note(SPREAD, all.p99() / all.median());
    Ok(())
}

/// By a process for each job.
fn commands(bench: &mut Bench, pool: &Pool) -> Result<()> {
    let slurm = is_there("srun", &["-n1", NOTHING]);
    let run = ["compute-share", "run", "--no-workdir", "--", "true"];
    for round in 1..=ROUNDS {
        let [mut plain, mut whole, mut srun] = [const { Samples::none() }; 3];
        for _ in 0..bench.of(COMMANDS) {
            plain.add(time(&mut Command::new(NOTHING))?);
            whole.add(time(&mut pool.alice.command(&run))?);
            if slurm {
                srun.add(time(Command::new("srun").args(["-n1", NOTHING]))?);
            }
        }
        let table = &mut bench.table;
        table.add(COMMAND, whole.median(), plain.median());
        if slurm {
            table.add(BESIDE_SRUN, whole.median(), srun.median());
        }
        done("commands", round);
    }
    if !slurm {
        println!("no `srun` here: target 1b is not judged");
    }
    Ok(())
}
