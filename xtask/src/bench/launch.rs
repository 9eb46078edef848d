//! What the sandbox itself costs: made, run and removed by a process with one thread, as every supervisor is, beside a
//! plain start of the same program; and what starting the supervisor adds.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::{line, samples::Samples};
use crate::workspace::{Profile, build_programs};

/// Rounds that count, after some that do not: the first use of anything.
const ROUNDS: usize = 1000;
const FIRST: usize = 50;
/// How many plain starts the whole sandbox may cost.
const MAX_RATIO: f64 = 4.0;

/// Runs the measurement.
///
/// # Errors
/// The build fails, or a sandbox does.
pub(crate) fn run() -> Result<()> {
    let program = build_programs(Profile::Release)?.join("compute-share");
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let mut measure = Command::new(&program);
    measure.args(["supervise", "--measure"]).arg(folder.path());
    measure.arg((FIRST + ROUNDS).to_string());
    let output = measure.stdin(Stdio::null()).output();
    let output = output.context("cannot start what is measured")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the measurement failed: {errors}");
    let mut columns: [Samples; 5] = Default::default();
    for round in String::from_utf8(output.stdout)?.lines().skip(FIRST) {
        let times: Vec<f64> = round.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        ensure!(times.len() == columns.len(), "not a line of times: {round}");
        for (samples, micros) in columns.iter_mut().zip(times) {
            samples.add(micros / 1000.0);
        }
    }
    let [plain, known, gone, known_alone, gone_alone] = &columns;
    let mut supervisor = Samples::default();
    for _ in 0..FIRST {
        // It finds that there is no such folder, and ends.
        let begin = std::time::Instant::now();
        let mut start = Command::new(&program);
        start.args(["supervise", "/nonexistent"]);
        let streams = start.stdin(Stdio::null()).stdout(Stdio::null());
        streams.status().context("cannot start a supervisor")?;
        supervisor.add(begin.elapsed().as_secs_f64() * 1000.0);
    }
    println!(
        "{ROUNDS} rounds, taking turns\n\nin ms                       median      p99     mean   ratio of medians"
    );
    line("fork+exec of true", plain, plain);
    line("sandbox, end known", known, plain);
    line("  and all of it gone", gone, plain);
    line("making its own network", known_alone, plain);
    line("  and all of it gone", gone_alone, plain);
    line("start of a supervisor", &supervisor, plain);
    let ratio = known.median() / plain.median();
    let verdict = if ratio <= MAX_RATIO {
        "holds"
    } else {
        "DOES NOT HOLD"
    };
    println!("\na job in a sandbox costs at most {MAX_RATIO} plain starts: {verdict} ({ratio:.2})");
    Ok(())
}
