//! What a sandbox costs beside a plain process: both are made again and again, taking turns, in a process with one
//! thread as every supervisor is. Started by `cargo xtask bench launch`.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::fd::AsFd as _,
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
    trial_plan,
};

/// What is run either way.
const NOTHING: &str = "/bin/true";
/// Most pairs in one go.
const MAX_PAIRS: u32 = 100_000;

/// Measures `pairs` pairs in an empty folder, a line each: microseconds plain, and in a sandbox with everything that
/// belongs to one, from its cgroup to that being removed. Returns 0 if all went well.
pub(super) fn main(folder: &Path, pairs: &str) -> Option<i32> {
    let pairs: u32 = pairs.parse().ok().filter(|&pairs| pairs <= MAX_PAIRS)?;
    let measured = measure(folder, pairs);
    if let Err(error) = &measured {
        eprintln!("{error}");
    }
    measured.ok().map(|()| 0)
}

fn measure(folder: &Path, pairs: u32) -> io::Result<()> {
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
    for _ in 0..pairs {
        let plain = timed(|| {
            let ended = Command::new(NOTHING).status()?;
            ended
                .success()
                .then_some(())
                .ok_or(io::ErrorKind::Other.into())
        })?;
        let sandboxed = timed(|| sandboxed(&plan, folder, &lock))?;
        println!("{} {}", plain.as_micros(), sandboxed.as_micros());
    }
    Ok(())
}

fn timed(run: impl FnOnce() -> io::Result<()>) -> io::Result<Duration> {
    let begin = Instant::now();
    run()?;
    Ok(begin.elapsed())
}

fn sandboxed(plan: &SandboxPlan, folder: &Path, lock: &File) -> io::Result<()> {
    let failed = |text: String| io::Error::other(text);
    let (jail, output) =
        Jail::start(plan, folder, lock.as_fd()).map_err(|error| failed(error.to_string()))?;
    poll(
        &mut [PollFd::from_borrowed_fd(jail.end(), PollFlags::IN)],
        None,
    )?;
    let mut last = None;
    while let Some(event) = jail.event() {
        last = Some(event);
    }
    drop(output);
    jail.finish()?;
    match last {
        Some(JailEvent::Exited(0)) => Ok(()),
        other => Err(failed(format!("the sandbox ended with {other:?}"))),
    }
}
