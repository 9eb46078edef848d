//! The process itself: what it was given, and what it returns.

use std::{
    ffi::OsString,
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use rustix::{
    fs::{Mode, OFlags},
    io::fcntl_dupfd_cloexec,
    process::setsid,
    stdio::{dup2_stdin, stdin},
};

use super::{
    disk::OwnMounts,
    folder::AttemptFolder,
    handover::{Handover, be_free},
    measure,
    run::{self, Vacant},
    title,
};
use crate::{
    lazy, proxy,
    sandbox::{check_main, lazy::try_main as try_lazy, make_room, sandbox_inside},
};

/// Instead of a folder: look at the sandbox from inside. Started by the agent's own probe.
pub(crate) const CHECK: &str = "--check";

/// Instead of a folder: make room for the service. Started by its unit.
const MAKE_ROOM: &str = "--make-room";

/// Instead of a folder: be a job's proxy. Started by the job's supervisor.
pub(crate) const PROXY: &str = "--proxy";

/// Instead of a folder: serve a job's lazily mounted datasets. Started by the job's supervisor.
pub(crate) const LAZY: &str = "--lazy";

/// Instead of a folder: try whether datasets can be mounted lazily. Started by the agent.
pub(crate) const TRY_LAZY: &str = "--try-lazy";

/// Instead of a folder: be the first process of a sandbox that another program has built. Started by that program.
pub(crate) const INSIDE: &str = "--inside";

/// Instead of a folder alone: measure what sandboxes cost. Started by the benchmark.
const MEASURE: &str = "--measure";

/// Attempts that one process supervises before another takes its place, so that nothing can pile up in it.
const MOST_ATTEMPTS: u32 = 1000;

/// Is the supervisor. `args` are the program's arguments after [`super::ROLE`]: what lists of processes show of it. On
/// its standard input it learns what it is to do. Must be called before anything starts a thread.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ! {
    let args: Vec<OsString> = args.into_iter().collect();
    let code = match args.as_slice() {
        [check] if check == CHECK => check_main(),
        [room] if room == MAKE_ROOM => make_room(),
        [proxy, task] if proxy == PROXY => proxy::main(task),
        [lazy, task] if lazy == LAZY => lazy::main(task),
        [attempt, device] if attempt == TRY_LAZY => try_lazy(device.as_ref()),
        [inside, given @ ..] if inside == INSIDE => sandbox_inside(given),
        [measure, folder, pairs] if measure == MEASURE => {
            measure::main(folder.as_ref(), pairs.to_str().unwrap_or_default())
        }
        [_shown] => supervise(),
        _ => None,
    };
    std::process::exit(code.unwrap_or(2))
}

/// Supervises one attempt after the other, each once nothing of the last one is left. Returns 0 once the daemon has no
/// more.
fn supervise() -> Option<i32> {
    // A session of its own: what ends the daemon's terminal or group does not end the job.
    setsid().ok()?;
    let daemon = take_channel().ok()?;
    let mut mounts = OwnMounts::default();
    let mut vacant = None;
    for number in 1..=MOST_ATTEMPTS {
        let Ok(handed) = Handover::receive(&daemon) else {
            break;
        };
        title::show(&handed.folder).ok()?;
        let folder = AttemptFolder::open(&handed.folder).ok()?;
        // What is in memory of secrets goes with the process.
        let last = number == MOST_ATTEMPTS || handed.given.secrets.is_some();
        // Without a result the daemon finds that the supervisor died, which is the truth.
        vacant = run::run(&folder, handed, &mut mounts, vacant.take()).ok()?;
        if last || be_free(&daemon, vacant.is_some()).is_err() {
            break;
        }
    }
    vacant.map_or(Ok(()), Vacant::end).ok()?;
    Some(0)
}

/// Returns where the daemon is heard, and leaves nothing in the place of that, so that no job gets it.
fn take_channel() -> io::Result<OwnedFd> {
    let channel = fcntl_dupfd_cloexec(stdin(), 3)?;
    let nothing = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    dup2_stdin(nothing.as_fd())?;
    Ok(channel)
}
