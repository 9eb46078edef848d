//! `cargo xtask`: everything that is done to the project rather than by it. One file per command.

mod bench;
mod demo;
mod dist;
mod escape_table;
mod packages;
mod person;
mod pool;
mod simulate;
mod stage;
mod steps;
mod test;
mod vm;
mod workspace;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser;

/// Shows, tests, measures and packs Compute Share.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Walks the story of the first ten minutes with the real programs, in a temporary folder.
    Demo {
        /// Leaves coordinator and agents running at the end, and says how to use and stop them.
        #[arg(long)]
        keep: bool,
    },
    /// Checks everything that has to hold, after installing or naming what is missing.
    Test,
    /// Runs the sandbox tests and shows what held in which way; fails where that differs from `SECURITY.md`.
    EscapeTable {
        /// Puts the table into `SECURITY.md`.
        #[arg(long)]
        write: bool,
        /// Takes the notes that the last run of the tests left.
        #[arg(long)]
        noted: bool,
    },
    /// Measures latency and throughput beside plain process starts, in one run.
    Bench {
        part: Option<Part>,
        /// Of the data's benchmark, only this.
        only: Option<bench::data::Part>,
        /// Of the jobs' benchmark, only these.
        #[arg(long, value_delimiter = ',', value_name = "PART,PART")]
        parts: Vec<bench::jobs::Part>,
    },
    /// Runs the real schedule on a trace and a virtual clock, beside FIFO and EASY backfill; builds for release first.
    #[command(disable_help_flag = true)]
    Simulate {
        /// What `--help` shows.
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "ARGUMENTS"
        )]
        arguments: Vec<OsString>,
    },
    /// Makes the .deb packages.
    Dist,
    /// Tries what needs systemd and cgroup v2 in an emulated machine; takes root and some minutes.
    Vm,
}

/// Something that is measured by itself.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Part {
    /// What the sandbox itself costs.
    Launch,
    /// What changes of a large org cost in the engine.
    Org,
    /// What jobs that wait take of memory, and how long they are read after a restart, beside redb alone.
    Restart,
    /// What placing tasks costs, with 10,000 machines and a million queued tasks.
    Schedule,
    /// What jobs cost from submission to end, and a million of them in the queue, beside floors.
    Jobs,
    /// How long data takes to be where it is needed, beside bare QUIC and rsync; takes root and rsync.
    Data,
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Demo { keep } => demo::run(keep),
        Task::Test => test::run(),
        Task::EscapeTable { write, noted } => escape_table::run(write, noted),
        Task::Bench { part: None, .. } => bench::run(),
        Task::Bench {
            part: Some(Part::Launch),
            ..
        } => bench::launch::run(),
        Task::Bench {
            part: Some(Part::Org),
            ..
        } => bench::org(),
        Task::Bench {
            part: Some(Part::Restart),
            ..
        } => bench::restart(),
        Task::Bench {
            part: Some(Part::Schedule),
            ..
        } => bench::schedule(),
        Task::Bench {
            part: Some(Part::Jobs),
            parts,
            ..
        } => bench::jobs::run(&parts),
        Task::Bench {
            part: Some(Part::Data),
            only,
            ..
        } => bench::data::run(only),
        Task::Simulate { arguments } => {
            return simulate::run(&arguments).unwrap_or_else(|error| failed(&error));
        }
        Task::Dist => dist::run(),
        Task::Vm => vm::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("\nxtask: {error:#}");
    ExitCode::FAILURE
}
