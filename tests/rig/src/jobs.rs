//! What the benchmark of jobs is made of. Floors: plain starts of a program, a book's commits, and the skeleton of a
//! coordinator and an agent that decide nothing. And who is played towards the real coordinator: members who submit and
//! look over sessions that stay, and a machine that runs nothing.
//!
//! Every part prints plain figures, a line each; what they mean is for who calls it.

mod book;
mod machine;
mod member;
mod skeleton;
mod spawn;

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Result;
use clap::Subcommand;

/// See the module.
#[derive(Debug, Subcommand)]
pub(crate) enum Part {
    /// Starts `/bin/true` and waits for it, again and again; prints how many a second.
    Spawn {
        count: u32,
        #[arg(long, default_value_t = 2)]
        threads: u32,
        /// Takes what it prints through pipes.
        #[arg(long)]
        pipes: bool,
    },
    /// Writes one row a commit to a new book; prints durable commits a second.
    Commits { book: PathBuf, count: u32 },
    /// Makes a book of so many rows.
    Rows { book: PathBuf, count: u64 },
    /// Opens a book and takes every row into memory; prints the seconds.
    Scan { book: PathBuf },
    /// The skeleton's coordinator, until it is ended; says `ready` once it listens.
    SkeletonCoordinator {
        address: SocketAddr,
        certificate: PathBuf,
        book: PathBuf,
    },
    /// The skeleton's agent, until it is ended; says `ready` once the coordinator knows it.
    SkeletonAgent {
        address: SocketAddr,
        certificate: PathBuf,
        /// Runs nothing and says at once that it ended.
        #[arg(long)]
        idle: bool,
    },
    /// The skeleton's client: prints the milliseconds from submission to end of each job, or with `--at-once` how many
    /// a second.
    SkeletonClient {
        address: SocketAddr,
        certificate: PathBuf,
        count: u32,
        #[arg(long)]
        at_once: bool,
    },
    /// A member, with credentials in `folder`.
    Member {
        folder: PathBuf,
        #[command(subcommand)]
        does: member::Does,
    },
    /// A registered machine whose agent runs nothing and says at once that what it got has ended; says `ready` once the
    /// coordinator has greeted it.
    Machine {
        /// The agent's.
        folder: PathBuf,
        /// How many tasks it takes at a time.
        #[arg(long)]
        slots: u32,
        /// Ends once so many tasks have ended, and prints the seconds since the greeting; without, it goes on.
        #[arg(long)]
        until: Option<u32>,
    },
}

/// Plays one part.
pub(crate) fn run(part: Part) -> Result<()> {
    match part {
        Part::Spawn {
            count,
            threads,
            pipes,
        } => spawn::measure(count, threads, pipes),
        Part::Commits { book, count } => book::commits(&book, count),
        Part::Rows { book, count } => book::fill(&book, count),
        Part::Scan { book } => book::scan(&book),
        Part::SkeletonCoordinator {
            address,
            certificate,
            book,
        } => skeleton::coordinator(address, &certificate, &book),
        Part::SkeletonAgent {
            address,
            certificate,
            idle,
        } => skeleton::agent(address, &certificate, idle),
        Part::SkeletonClient {
            address,
            certificate,
            count,
            at_once,
        } => skeleton::client(address, &certificate, count, at_once),
        Part::Member { folder, does } => member::run(&folder, does),
        Part::Machine {
            folder,
            slots,
            until,
        } => machine::run(&folder, slots, until),
    }
}
