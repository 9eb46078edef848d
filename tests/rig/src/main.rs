//! What the benchmarks measure Compute Share beside and with, as one program for several processes. For data: bare QUIC as
//! the floor, a line as bad as one likes between two network namespaces, and folders of data that change a little. For
//! jobs: see [`jobs`].

mod jobs;
mod line;
mod quic;
mod samples;
mod tun;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, ValueEnum};

/// Parts of a benchmark that run in processes of their own.
#[derive(Debug, Parser)]
enum Rig {
    /// Takes bytes over QUIC until it is ended; says `ready` once it listens.
    QuicListen {
        address: SocketAddr,
        certificate: PathBuf,
        /// Where to write what comes, and sync it; without, it is dropped.
        #[arg(long)]
        keep: Option<PathBuf>,
    },
    /// Sends bytes over QUIC and prints how long that took, in seconds.
    QuicPut {
        address: SocketAddr,
        certificate: PathBuf,
        #[arg(long, default_value_t = 8)]
        streams: u32,
        #[arg(long)]
        mib: u32,
        /// With BBR in place of CUBIC.
        #[arg(long)]
        bbr: bool,
    },
    /// Joins two processes' network namespaces by a line until it is ended; says `ready` once the devices are there.
    Line {
        #[arg(long)]
        left: u32,
        #[arg(long)]
        right: u32,
        /// What the devices are called.
        #[arg(long)]
        device: String,
        /// Megabits per second, each way.
        #[arg(long)]
        rate: f64,
        /// Milliseconds from the one end to the other.
        #[arg(long, default_value_t = 0.0)]
        delay: f64,
        /// Part of the packets that get lost, in percent, each way.
        #[arg(long, default_value_t = 0.0)]
        loss: f64,
    },
    /// Fills a folder with bytes that do not compress.
    Fill {
        folder: PathBuf,
        kind: Kind,
        #[arg(long)]
        mib: u64,
    },
    /// Changes one hundredth of a filled folder.
    Change { folder: PathBuf, kind: Kind },
    /// Uses so much memory for a moment. A virtual machine gets memory that it has not used lately from its host page by
    /// page, ten times as slowly as it can use it: whatever is measured afterwards does not pay for that.
    Warm {
        #[arg(long)]
        mib: usize,
    },
    /// What the benchmark of jobs is made of.
    #[command(subcommand)]
    Jobs(jobs::Part),
}

/// What a folder is full of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Four large files.
    Big,
    /// Files of 60 to 140 KiB.
    Small,
    /// Empty files, as many as `--mib` says thousands.
    Empty,
}

fn main() -> ExitCode {
    let done = match Rig::parse() {
        Rig::QuicListen {
            address,
            certificate,
            keep,
        } => quic::listen(address, &certificate, keep),
        Rig::QuicPut {
            address,
            certificate,
            streams,
            mib,
            bbr,
        } => quic::put(address, &certificate, streams, mib, bbr),
        Rig::Line {
            left,
            right,
            device,
            rate,
            delay,
            loss,
        } => {
            let quality = line::Quality {
                bytes_per_second: rate * 1e6 / 8.0,
                delay: Duration::from_secs_f64(delay / 1e3),
                loss: loss / 100.0,
            };
            line::join(left, right, &device, quality)
        }
        Rig::Fill { folder, kind, mib } => samples::fill(&folder, kind, mib),
        Rig::Change { folder, kind } => samples::change(&folder, kind),
        Rig::Warm { mib } => {
            std::hint::black_box(vec![1_u8; mib << 20]);
            Ok(())
        }
        Rig::Jobs(part) => jobs::run(part),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rig: {error:#}");
            ExitCode::FAILURE
        }
    }
}
