//! Tasks that do nothing, through one agent with two slots.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::{
    Bench, MACHINE, ROUNDS, done,
    table::{Bound, Target},
};
use crate::bench::samples::Samples;

/// Tasks of an array, and starts beside it.
const TASKS: u32 = 2000;
/// Launches of sandboxes, for each slot.
const LAUNCHES: u32 = 200;
const SLOTS: usize = 2;

const PLAIN: Target = Target {
    number: "2",
    what: "tasks a second, array of `true`, two slots",
    floor: "plain starts, 2 threads",
    bound: Some(Bound::AtLeast {
        must: 0.45,
        stretch: 0.62,
    }),
};
const PIPES: Target = Target {
    what: "the same beside output through pipes",
    floor: "plain starts with pipes, 2 threads",
    bound: None,
    ..PLAIN
};
const LAUNCHED: Target = Target {
    what: "the same beside sandboxes alone",
    floor: "sandboxes made and gone, 2 processes",
    bound: None,
    ..PLAIN
};

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    let (pool, bob) = bench.pool()?;
    pool.lend(&bob, MACHINE)?;
    let tasks = bench.of(TASKS);
    let (count, slots) = (tasks.to_string(), SLOTS.to_string());
    let array = ["array", &count, "--parallel", &slots, "--to-end"];
    for round in 1..=ROUNDS {
        let plain = bench.rig.spawn(tasks, &[])?;
        let ours = bench.rig.member(&pool.alice, &array)?.concat();
        let [_, seconds] = ours[..].try_into().context("two figures an array")?;
        let pipes = bench.rig.spawn(tasks, &["--pipes"])?;
        let launched = launch_rate(bench)?;
        let rate = f64::from(tasks) / seconds;
        for (target, floor) in [(PLAIN, plain), (PIPES, pipes), (LAUNCHED, launched)] {
            bench.table.add(target, rate, floor);
        }
        done("tasks", round);
    }
    Ok(())
}

/// Returns how many sandboxes a second are made, run and removed by so many processes, each beside the other; see
/// `bench launch`.
fn launch_rate(bench: &Bench) -> Result<f64> {
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let launches = bench.of(LAUNCHES).to_string();
    let start = |slot: usize| {
        let folder = folder.path().join(slot.to_string());
        std::fs::create_dir(&folder)?;
        let mut measure = Command::new(bench.programs.join("compute-share"));
        measure.args(["supervise", "--measure"]).arg(folder);
        measure.arg(&launches).stdin(Stdio::null());
        let child = measure.stdout(Stdio::piped()).spawn();
        child.context("cannot start what is measured")
    };
    let children: Vec<Child> = (0..SLOTS).map(start).collect::<Result<_>>()?;
    let mut rate = 0.0;
    for child in children {
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "the measurement failed");
        let mut gone = Samples::default();
        for line in String::from_utf8(output.stdout)?.lines() {
            let micros = line
                .split(' ')
                .nth(2)
                .context("the third time of a round")?;
            gone.add(micros.parse()?);
        }
        rate += 1e6 / gone.median();
    }
    Ok(rate)
}
