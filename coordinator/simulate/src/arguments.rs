//! What the program is asked for.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use common::{code::Code, problem::Problem, status::Preemption};

/// Runs the coordinator's own schedule on a trace of jobs and a virtual clock, beside strict FIFO and EASY backfill.
///
/// The same trace, machines and seed give the same output, byte for byte; how long it took goes to standard error.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask simulate", bin_name = "cargo xtask simulate", after_long_help = AFTER)]
pub(crate) struct Arguments {
    /// A made-up trace: bursty, steady, gangs-and-ants or greedy (see below).
    #[arg(
        default_value = "bursty",
        value_name = "NAME",
        conflicts_with = "trace"
    )]
    pub(crate) name: String,

    /// A trace of a file: Standard Workload Format where its name ends in .swf, otherwise what `sacct --parsable2` printed.
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,

    /// The pool, as in 20x16:64GiB,4x32:256GiB:2xrtx-4090: how many machines, of how many processors, how much memory
    /// and which GPUs. Default: 10x8:32GiB, or what the header of an SWF file says.
    #[arg(long, value_name = "POOL")]
    pub(crate) machines: Option<String>,

    /// What a made-up trace is drawn from.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub(crate) seed: u64,

    /// How many days a made-up trace has (default 1), or how many of a file's are taken (default all).
    #[arg(long, value_name = "NUMBER")]
    pub(crate) days: Option<u64>,

    /// Whose tasks have to give way to a job that waits, as `org set preemption=` says it: off, priority or share. Jobs of
    /// a trace have one priority, so that it is only by share that any do.
    #[arg(long, default_value_t = Preemption::Priority, value_name = "WHOSE")]
    pub(crate) preemption: Preemption,

    /// Draws utilisation and queue over time.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,

    /// One JSON document instead of a table.
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Json,
}

const AFTER: &str = "\
Made-up traces:
  bursty          a day of a class of 30 before its deadline at 18:00, beside four heavy users
  steady          arrivals at random at 0.9 of what the pool can do, of all sizes
  gangs-and-ants  jobs that need two to four whole machines at once, among thousands of small short ones
  greedy          one member submits 10,000 tasks at once, nine others small jobs all day

Files:
  SWF has 18 numbers a line; the header's MaxProcs and MaxNodes say what the machines are. A job
  that is larger than a machine becomes a gang: equal tasks on as many machines, that start together.
  Where there are not as many machines it becomes an array, whose tasks start one by one.
  sacct needs the columns JobID, User, Submit, AllocCPUS or ReqCPUS, and ElapsedRaw, Elapsed or
  Start and End; it may have ReqMem, TimelimitRaw or Timelimit, and State.

Examples:
  cargo xtask simulate
  cargo xtask simulate greedy --seed 7 --svg greedy.svg
  cargo xtask simulate steady --days 3 --machines 20x16:64GiB,4x32:256GiB:2xrtx-4090
  cargo xtask simulate --trace coordinator/simulate/traces/tiny.swf -o json
  sacct -aXP -S 2026-03-01 -o JobID,User,Submit,Elapsed,AllocCPUS,ReqMem,Timelimit > march.txt
  cargo xtask simulate --trace march.txt --machines 40x32:128GiB
";

/// Returns what is wrong with the arguments, in the form of everything else that is refused.
pub(crate) fn not_understood(error: &clap::Error) -> Problem {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default().trim();
    let why = first.strip_prefix("error: ").unwrap_or(first);
    Problem::new(Code::BadRequest, "The command was not understood", why)
        .help("`cargo xtask simulate --help` shows what it takes.")
}

/// Returns whether arguments that were not understood ask for JSON.
pub(crate) fn want_json() -> bool {
    let words: Vec<String> = std::env::args().collect();
    let pairs = words.windows(2);
    let mut apart = pairs.map(|pair| (pair[0].as_str(), pair[1].as_str()));
    apart.any(|pair| [("-o", "json"), ("--output", "json")].contains(&pair))
        || words
            .iter()
            .any(|word| ["-ojson", "-o=json", "--output=json"].contains(&word.as_str()))
}
