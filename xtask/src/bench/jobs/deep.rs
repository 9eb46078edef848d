//! A deep queue: what it takes to fill, what it holds of memory, what people who look wait, how fast it is worked off
//! beside a shallow one; and what a restart takes with it.

use std::time::Instant;

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::{
    Bench, MACHINE,
    table::{Bound, Target},
};
use crate::{
    bench::{process::resident_mib, samples::Samples},
    person::Person,
    pool::Pool,
};

/// Tasks of the deep array.
const TASKS: u32 = 1_000_000;
/// What is worked off of each queue.
const WORKED: u32 = 5_000;
/// How often is looked.
const LOOKS: u32 = 200;
const MEMBERS: &str = "64";
const MIB: f64 = (1 << 20) as f64;

/// What is deep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Queue {
    Array,
    Singles,
}

/// What is judged of a queue.
#[derive(Debug)]
struct Targets {
    submitted: Target,
    memory: Target,
    reread: Target,
    looks: [Target; 3],
    rate: Target,
    answers: Target,
    places: Target,
    killed: Target,
}

const fn target(number: &'static str, what: &'static str, bound: Option<Bound>) -> Target {
    let floor = "";
    Target {
        number,
        what,
        floor,
        bound,
    }
}

const fn at_most(must: f64, stretch: f64) -> Option<Bound> {
    Some(Bound::AtMost { must, stretch })
}

const fn beside(floor: &'static str, target: Target) -> Target {
    Target { floor, ..target }
}

const SAME_RATE: Option<Bound> = Some(Bound::AtLeast {
    must: 0.9,
    stretch: 0.98,
});
const SHALLOW: &str = "a queue of 5,000";
const SCAN: &str = "redb, open and read as many rows";

const OF_AN_ARRAY: Targets = Targets {
    submitted: target("6", "array: seconds to submit", None),
    memory: target("6", "array: memory, bytes a task", at_most(365.0, 64.0)),
    reread: target("6", "array: the same after a restart", None),
    looks: [
        target("6", "array: list of jobs, p99 ms", at_most(10.0, 10.0)),
        target("6", "array: its state, p99 ms", at_most(10.0, 10.0)),
        target("6", "array: why it waits, p99 ms", at_most(10.0, 10.0)),
    ],
    rate: beside(
        SHALLOW,
        target("6", "array: tasks a second, deep", SAME_RATE),
    ),
    answers: target("16", "array: restart to answer, s", at_most(1.0, 0.1)),
    places: target("16", "array: restart to a task's end, s", at_most(1.0, 0.1)),
    killed: target("16", "array: kill -9 to answer, s", None),
};
const OF_SINGLES: Targets = Targets {
    submitted: target("6", "singles: s a million to submit", at_most(20.0, 10.0)),
    memory: target("6", "singles: memory, bytes a job", at_most(800.0, 400.0)),
    reread: target("6", "singles: the same after a restart", None),
    looks: [
        target("6", "singles: list of jobs, p99 ms", at_most(10.0, 10.0)),
        target("6", "singles: one's state, p99 ms", at_most(10.0, 10.0)),
        target("6", "singles: why one waits, p99 ms", at_most(10.0, 10.0)),
    ],
    rate: beside(
        SHALLOW,
        target("6", "singles: jobs a second, deep", SAME_RATE),
    ),
    answers: target("16", "singles: restart to answer, s", at_most(1.0, 0.1)),
    places: beside(
        SCAN,
        target(
            "16",
            "singles: restart to a job's end, s",
            at_most(2.5, 1.2),
        ),
    ),
    killed: target("16", "singles: kill -9 to answer, s", None),
};

/// A queue is made once: what is big is steady.
pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    for queue in [Queue::Array, Queue::Singles] {
        let (mut pool, bob) = bench.pool()?;
        pool.register(&bob, MACHINE)?;
        one(bench, &mut pool, &bob, queue)?;
    }
    Ok(())
}

fn one(bench: &mut Bench, pool: &mut Pool, bob: &Person, queue: Queue) -> Result<()> {
    let (deep, targets) = match queue {
        Queue::Array => (bench.of(TASKS), OF_AN_ARRAY),
        Queue::Singles => (bench.of(bench.queued), OF_SINGLES),
    };
    let worked = bench.of(WORKED);
    submit(bench, pool, queue, worked)?;
    let shallow = f64::from(worked) / bench.rig.machine(bob, worked)?.left()?;

    let coordinator = |pool: &Pool| u64::from(pool.coordinator.id());
    let before = resident_mib(coordinator(pool))?;
    let seconds = submit(bench, pool, queue, deep)?;
    let per_job = |mib: f64| (mib - before) * MIB / f64::from(deep);
    let held = per_job(resident_mib(coordinator(pool))?);
    let a_million = f64::from(TASKS) / f64::from(deep);
    let submitted = match queue {
        Queue::Array => seconds,
        Queue::Singles => seconds * a_million,
    };
    bench.table.note(targets.submitted, submitted);
    bench.table.note(targets.memory, held);
    println!("{queue:?}: {deep} wait; load {}", crate::bench::load());

    let looked = bench.of(LOOKS).to_string();
    let mut looks = [const { Samples::none() }; 3];
    for line in bench.rig.member(&pool.alice, &["look", &looked])? {
        for (samples, took) in looks.iter_mut().zip(line) {
            samples.add(took);
        }
    }
    for (target, samples) in targets.looks.into_iter().zip(&looks) {
        bench.table.note(target, samples.p99());
    }
    let rate = f64::from(worked) / bench.rig.machine(bob, worked)?.left()?;
    bench.table.add(targets.rate, rate, shallow);

    let answers = answers_after(bench, pool, Signal::TERM)?;
    let reread = per_job(resident_mib(coordinator(pool))?);
    bench.table.note(targets.reread, reread);
    bench.table.note(targets.answers, answers.elapsed);
    bench.rig.machine(bob, 1)?.left()?;
    let places = answers.begin.elapsed().as_secs_f64();
    let floor = match queue {
        Queue::Array => f64::NAN,
        Queue::Singles => scan(bench, pool, deep)?,
    };
    bench.table.add(targets.places, places, floor);
    let answers = answers_after(bench, pool, Signal::KILL)?;
    bench.table.note(targets.killed, answers.elapsed);
    println!("{queue:?}: restarted; load {}", crate::bench::load());
    Ok(())
}

/// Submits that many; returns the seconds until the last was acknowledged.
fn submit(bench: &Bench, pool: &Pool, queue: Queue, count: u32) -> Result<f64> {
    let count = count.to_string();
    let took = bench.rig.member(
        &pool.alice,
        &match queue {
            Queue::Array => vec!["array", &count],
            Queue::Singles => vec!["singles", &count, "--clients", MEMBERS],
        },
    )?;
    took.concat().first().copied().context("how long it took")
}

/// When the coordinator was started, and how many seconds later somebody had an answer, the start of who asked included.
struct Answered {
    begin: Instant,
    elapsed: f64,
}

fn answers_after(bench: &Bench, pool: &mut Pool, signal: Signal) -> Result<Answered> {
    let begin = pool.restart(signal)?;
    bench.rig.member(&pool.alice, &["look", "1"])?;
    let elapsed = begin.elapsed().as_secs_f64();
    Ok(Answered { begin, elapsed })
}

fn scan(bench: &Bench, pool: &Pool, rows: u32) -> Result<f64> {
    let book = pool.stage.path().join("rows.redb");
    bench.rig.fill(&book, rows)?;
    bench.rig.scan(&book)
}
