//! `cargo xtask bench`: latency and throughput beside plain process starts, in one run and taking turns, so
//! that what else the machine does falls on both. Judge the ratios; absolute times are this machine's.

pub(crate) mod data;
mod idle;
pub(crate) mod jobs;
pub(crate) mod launch;
mod process;
mod samples;

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde_json::Value;

use self::samples::Samples;
use crate::{
    person::{Person, Voice},
    pool::Pool,
    stage::Stage,
    workspace::{Profile, build_programs, cargo, run as run_in_root},
};

/// The whole measurement, on a machine under load.
const LIMIT: Duration = Duration::from_secs(540);

/// How often floor and product take turns.
const ROUNDS: usize = 7;
/// Single starts of each kind in a round.
const STARTS: usize = 20;
/// Tasks of the array in a round.
const TASKS: u32 = 300;

/// The program that does nothing, here and in the sandbox.
const NOTHING: &str = "/bin/true";

/// What a task asks for: little, so that the machine's processors are the bound.
const SMALL: [&str; 7] = [
    "--no-workdir",
    "--cpu",
    "0.1",
    "--memory",
    "16MiB",
    "--disk",
    "1MiB",
];

/// Whole-command median of `run -- true` that must not be reached, on an idle pair of daemons.
const RUN_LIMIT_MS: f64 = 20.0;

/// Everything that is measured, in milliseconds or per second.
#[derive(Debug, Default)]
struct Measured {
    spawn: Samples,
    run: Samples,
    to_start: Samples,
    spawn_rate: Samples,
    task_rate: Samples,
}

/// Measures what changes of an org with 10,000 members, 10,000 machines and 100,000 live jobs cost in the engine.
///
/// # Errors
/// The build fails, or a change takes too long.
pub(crate) fn org() -> Result<()> {
    of_the_engine("org")
}

/// Measures what 200,000 jobs that wait take of memory, and how long they are read after a restart.
///
/// # Errors
/// The build fails, or a job takes too much.
pub(crate) fn restart() -> Result<()> {
    of_the_engine("restart")
}

fn of_the_engine(name: &str) -> Result<()> {
    let bench = [
        "bench",
        "--locked",
        "--features",
        "measure",
        "--bench",
        name,
    ];
    run_in_root(cargo(&bench).args(["-p", "compute-share-coordinator"]))
}

/// Measures what placing tasks costs: 10,000 machines, a million queued tasks of many shapes.
///
/// # Errors
/// The build fails.
pub(crate) fn schedule() -> Result<()> {
    let bench = ["bench", "--locked", "--bench", "schedule"];
    run_in_root(cargo(&bench).args(["-p", "compute-share-coordinator"]))
}

/// Runs the command.
///
/// # Errors
/// The build fails, or a job does not end as it should.
pub(crate) fn run() -> Result<()> {
    let programs = build_programs(Profile::Release)?;
    let stage = Stage::open("compute-share-bench-", LIMIT)?;
    let pool = Pool::open(stage, &programs, Voice::Silent)?;
    let bob = pool.member("bob")?;
    pool.lend(&bob, "box")?;

    idle::measure(&pool, &bob)?;
    println!(
        "{ROUNDS} rounds: {STARTS} starts each of `{NOTHING}` and `run -- true`, then {TASKS} tasks each"
    );
    let mut measured = Measured::default();
    // Not counted: the first use of anything.
    latency(&pool.alice, &mut Measured::default())?;
    // Floor and product take turns within a round. All of the latency comes first: it is that of an idle pair
    // of daemons, which have to clear up behind an array for a while.
    for number in 1..=ROUNDS {
        latency(&pool.alice, &mut measured)?;
        println!("latency, round {number} of {ROUNDS}; load {}", load());
    }
    for number in 1..=ROUNDS {
        measured.spawn_rate.add(spawn_rate()?);
        measured.task_rate.add(task_rate(&pool.alice)?);
        println!("throughput, round {number} of {ROUNDS}; load {}", load());
    }
    report(&measured);
    Ok(())
}

fn latency(alice: &Person, measured: &mut Measured) -> Result<()> {
    for _ in 0..STARTS {
        measured.spawn.add(time(&mut Command::new(NOTHING))?);
        let mut run =
            alice.command(&[&["compute-share", "run"], &SMALL[..], &["--", "true"]].concat());
        measured.run.add(time(&mut run)?);
    }
    let jobs = alice.asks(&[
        "compute-share",
        "job",
        "list",
        "--limit",
        &STARTS.to_string(),
    ])?;
    for job in jobs.as_array().context("a list of jobs")? {
        let started = moment(job, "started_at")? - moment(job, "submitted_at")?;
        measured.to_start.add(started * 1000.0);
    }
    Ok(())
}

/// Returns how long a command took, in milliseconds.
fn time(command: &mut Command) -> Result<f64> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let begin = Instant::now();
    let status = command.status().context("cannot start what is measured")?;
    let took = begin.elapsed();
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(took.as_secs_f64() * 1000.0)
}

/// Returns plain starts per second, from one thread for each processor.
fn spawn_rate() -> Result<f64> {
    let threads = u32::try_from(thread::available_parallelism()?.get())?;
    let each = TASKS.div_ceil(threads);
    let begin = Instant::now();
    let work = || (0..each).try_for_each(|_| time(&mut Command::new(NOTHING)).map(|_| ()));
    thread::scope(|scope| {
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut ended = started.into_iter().map(|thread| thread.join());
        ended.try_for_each(|done| done.unwrap_or_else(|_| anyhow::bail!("a thread panicked")))
    })?;
    Ok(f64::from(each * threads) / begin.elapsed().as_secs_f64())
}

/// Returns tasks per second of one array, from its submission to its end as the coordinator saw them.
fn task_rate(alice: &Person) -> Result<f64> {
    let array = format!("1-{TASKS}");
    let submit = [
        &["compute-share", "submit"],
        &SMALL[..],
        &["--array", &array],
    ]
    .concat();
    let submitted = alice.asks_to_run(&submit, &["--", "true"])?;
    let number = submitted["number"].to_string();
    alice.does(&["compute-share", "job", "wait", &number])?;
    let job = &alice.asks(&["compute-share", "job", "show", &number])?["summary"];
    ensure!(
        job["tasks"]["succeeded"] == TASKS,
        "not every task succeeded: {job}"
    );
    let seconds = moment(job, "ended_at")? - moment(job, "submitted_at")?;
    Ok(f64::from(TASKS) / seconds)
}

/// Returns a job's moment in seconds; the differences of many, each cut to a millisecond, average out.
fn moment(job: &Value, key: &str) -> Result<f64> {
    let text = job[key]
        .as_str()
        .with_context(|| format!("no {key:?} in {job}"))?;
    Ok(text.parse::<Timestamp>()?.as_duration().as_secs_f64())
}

fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}

fn report(measured: &Measured) {
    let Measured {
        spawn,
        run,
        to_start,
        spawn_rate,
        task_rate,
    } = measured;
    println!("\nlatency in ms               median      p99     mean   ratio of medians");
    line("fork+exec of true", spawn, spawn);
    line("run -- true, whole", run, spawn);
    line("submitted to started", to_start, spawn);
    println!("\nno-op tasks per second      median              ratio");
    rate("fork+exec, every core", spawn_rate, spawn_rate);
    rate("job array, sandboxed", task_rate, spawn_rate);
    let verdict = if run.median() < RUN_LIMIT_MS {
        "holds"
    } else {
        "DOES NOT HOLD"
    };
    println!(
        "\n`run -- true` under {RUN_LIMIT_MS} ms: {verdict} ({:.1} ms)",
        run.median()
    );
    println!(
        "For comparison only, measured elsewhere and unsandboxed: Slurm's `srun true` takes 24-31 ms."
    );
}

fn line(name: &str, samples: &Samples, floor: &Samples) {
    let (median, p99, mean) = (samples.median(), samples.p99(), samples.mean());
    let ratio = median / floor.median();
    println!("{name:<24} {median:>9.2} {p99:>8.2} {mean:>8.2}   {ratio:>6.2}");
}

fn rate(name: &str, samples: &Samples, floor: &Samples) {
    let median = samples.median();
    println!(
        "{name:<24} {median:>9.0}            {:>8.3}",
        median / floor.median()
    );
}
