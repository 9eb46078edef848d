//! `compute-share-simulate`: a thin program around the library, called as `cargo xtask simulate`. Standard output has
//! what is the same every time; how long it took goes to standard error.

mod arguments;

use std::{fs, io::Write, path::PathBuf, process::ExitCode, time::Instant};

use clap::Parser;
use common::{code::Code, problem::Problem};
use serde_json::json;
use simulate::{
    easy::Easy,
    fifo::Fifo,
    measures::{Measures, measure},
    ours::Ours,
    plot::plot,
    pool::Pool,
    run::{History, run},
    scheduler::{Scheduler, Violation},
    table::table,
    trace::{self, Trace, synthetic},
};

use self::arguments::{Arguments, Format};

/// Of made-up traces.
const DEFAULT_POOL: &str = "10x8:32GiB";

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => return refuse(&arguments::not_understood(&error), arguments::want_json()),
    };
    let json = arguments.output == Some(Format::Json);
    match simulate(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => refuse(&problem, json),
    }
}

fn simulate(arguments: &Arguments) -> Result<(), Problem> {
    let (trace, pool) = given(arguments)?;
    let mut all: Vec<(Measures, History)> = Vec::new();
    let ours = Ours::new(&trace, &pool, arguments.preemption);
    let ours = ours.map_err(|violation| broken("ours", &violation))?;
    let schedules: [Box<dyn Scheduler + '_>; 3] = [
        Box::new(ours),
        Box::new(Fifo::new(&trace, &pool)),
        Box::new(Easy::new(&trace, &pool)),
    ];
    for mut schedule in schedules {
        let (name, begun) = (schedule.name(), Instant::now());
        let history = run(&trace, &pool, schedule.as_mut());
        let history = history.map_err(|violation| broken(name, &violation))?;
        say_pace(name, begun, history.decisions);
        all.push((measure(name, &trace, &pool, &history), history));
    }
    if let Some(path) = &arguments.svg {
        let histories: Vec<_> = all
            .iter()
            .map(|(measures, history)| (measures.schedule, history))
            .collect();
        write(path, &plot(&trace, &pool, &histories))?;
    }
    let measures: Vec<Measures> = all.into_iter().map(|(measures, _)| measures).collect();
    print(&match arguments.output {
        None => table(&trace, &pool, &measures),
        Some(Format::Json) => {
            let pool_text = pool.to_string();
            let Trace {
                title,
                jobs,
                members,
                notes,
            } = &trace;
            let (jobs, members) = (jobs.len(), members.len());
            let tasks = trace.tasks();
            let document = json!({
                "trace": title, "pool": pool_text, "tasks": tasks, "jobs": jobs, "members": members,
                "notes": notes, "schedules": measures,
            });
            format!("{document}\n")
        }
    })
}

/// Returns the trace that was asked for, and its machines.
fn given(arguments: &Arguments) -> Result<(Trace, Pool), Problem> {
    let machines = arguments.machines.as_deref().map(Pool::parse).transpose()?;
    if let Some(path) = &arguments.trace {
        return trace::read(path, machines, arguments.days);
    }
    let pool = machines.map_or_else(|| Pool::parse(DEFAULT_POOL), Ok)?;
    let days = arguments.days.unwrap_or(1);
    let trace = synthetic::make(&arguments.name, arguments.seed, days, &pool)?;
    Ok((trace, pool))
}

/// Says how long it took, which is not the same twice.
fn say_pace(name: &str, begun: Instant, decisions: u64) {
    let seconds = begun.elapsed().as_secs_f64();
    let pace = decisions as f64 / seconds.max(0.001);
    // There is nowhere left to say that this cannot be written.
    let _ = writeln!(
        anstream::stderr(),
        "{name}: {seconds:.2} s for {decisions} decisions, {pace:.0} a second"
    );
}

fn broken(name: &str, violation: &Violation) -> Problem {
    let what = format!("The simulation of {name} has ended");
    let (code, help) = match violation {
        Violation::TooLong { .. } => (
            Code::BadRequest,
            "Take fewer days with --days, or more machines with --machines.",
        ),
        _ => (
            Code::Internal,
            "This is a bug of the schedule or of the simulation: please report it with the command.",
        ),
    };
    Problem::new(code, what, violation.to_string()).help(help)
}

fn write(path: &PathBuf, text: &str) -> Result<(), Problem> {
    fs::write(path, text).map_err(|error| {
        let why = format!("{}: {error}", path.display());
        Problem::new(Code::Io, "The picture was not written", why)
    })
}

fn print(text: &str) -> Result<(), Problem> {
    let printed = anstream::stdout().write_all(text.as_bytes());
    printed.map_err(|error| Problem::new(Code::Io, "The answer was not printed", error.to_string()))
}

/// Says what went wrong, as all programs here do.
fn refuse(problem: &Problem, json: bool) -> ExitCode {
    let Problem {
        code,
        what,
        why,
        help,
    } = problem;
    let text = if json {
        let message = format!("{what}: {why}");
        json!({"error": {"code": code.as_str(), "message": message, "help": help}}).to_string()
    } else {
        format!("error[{code}]: {what}\n  why: {why}\n help: {help}")
    };
    // There is nowhere left to say that this cannot be written.
    let _ = writeln!(anstream::stderr(), "{text}");
    ExitCode::from(code.exit_class() as u8)
}
