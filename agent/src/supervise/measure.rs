//! What a sandbox costs beside a plain process: both are made again and again, taking turns, in a process with one
//! thread as every supervisor is. Started by `cargo xtask bench launch`.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use agent_core::sandbox_plan::SandboxPlan;
use common::status::Network;
use rustix::event::{PollFd, PollFlags, poll};

use crate::sandbox::{
    Trial, host,
    jail::{Jail, JailEvent},
    spare_network, trial_plan,
};

/// What is run either way.
const NOTHING: &str = "/bin/true";
/// Most rounds in one go.
const MAX_ROUNDS: u32 = 100_000;

/// Measures `rounds` rounds in an empty folder, a line each, in microseconds: plain; in a sandbox with a network made
/// ahead until its end is known, and until everything is gone that belonged to it; and the same two where the sandbox
/// makes its network itself. Returns 0 if all went well.
pub(super) fn main(folder: &Path, rounds: &str) -> Option<i32> {
    let rounds: u32 = rounds.parse().ok().filter(|&rounds| rounds <= MAX_ROUNDS)?;
    let measured = measure(folder, rounds);
    if let Err(error) = &measured {
        eprintln!("{error}");
    }
    measured.ok().map(|()| 0)
}

fn measure(folder: &Path, rounds: u32) -> io::Result<()> {
    for name in ["work", "output", "dataset"] {
        std::fs::create_dir_all(folder.join(name))?;
    }
    let host = host(BTreeMap::new());
    let trial = Trial {
        command: vec![NOTHING.to_owned()],
        strong: false,
        network: Network::None,
    };
    let plan = trial_plan(Path::new(NOTHING), folder, &host, trial);
    let lock = File::create(folder.join("lock"))?;
    for _ in 0..rounds {
        // As the daemon has one at hand where it is root; elsewhere it has none either.
        let network = if host.superuser {
            spare_network()?.ok()
        } else {
            None
        };
        let begin = Instant::now();
        let ended = Command::new(NOTHING).status()?;
        if !ended.success() {
            return Err(io::Error::other(format!("{NOTHING} ended with {ended}")));
        }
        let plain = begin.elapsed();
        let [known, gone] = sandboxed(&plan, folder, &lock, network)?;
        let [later, last] = sandboxed(&plan, folder, &lock, None)?;
        let all = [plain, known, gone, later, last].map(|time| time.as_micros().to_string());
        println!("{}", all.join(" "));
    }
    Ok(())
}

fn sandboxed(
    plan: &SandboxPlan,
    folder: &Path,
    lock: &File,
    network: Option<OwnedFd>,
) -> io::Result<[Duration; 2]> {
    let begin = Instant::now();
    let failed = |text: String| io::Error::other(text);
    let (mut jail, output) = Jail::start(plan, folder, lock.as_fd(), network)
        .map_err(|error| failed(error.to_string()))?;
    let mut last = None;
    while !jail.is_empty() {
        let mut waiting = [
            PollFd::from_borrowed_fd(jail.end(), PollFlags::IN),
            PollFd::from_borrowed_fd(jail.control(), PollFlags::IN),
        ];
        poll(&mut waiting, None)?;
        let ended = !waiting[0].revents().is_empty();
        while let Some(event) = jail.event() {
            last = Some(event);
        }
        if ended {
            break;
        }
    }
    drop(output);
    jail.consumed()?;
    let known = begin.elapsed();
    jail.finish()?;
    match last {
        Some(JailEvent::Exited(0)) => Ok([known, begin.elapsed()]),
        other => Err(failed(format!("the sandbox ended with {other:?}"))),
    }
}
