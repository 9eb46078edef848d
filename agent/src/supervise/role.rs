//! The process itself: what it was given, and what it returns.

use std::{ffi::OsString, io, os::fd::AsFd as _, path::Path};

use rustix::{
    fs::{Mode, OFlags},
    process::setsid,
    stdio::{dup2_stdin, stdin},
};

use super::{folder::AttemptFolder, handover::Handover, measure, run};
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

/// Is the supervisor. `args` are the program's arguments after [`super::ROLE`]: the attempt's folder. On its standard
/// input is what it is given. Must be called before anything starts a thread.
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
        [folder] => supervise(folder.as_ref()),
        _ => None,
    };
    std::process::exit(code.unwrap_or(2))
}

/// Returns 0 once the attempt has a result.
fn supervise(folder: &Path) -> Option<i32> {
    // A session of its own: what ends the daemon's terminal or group does not end the job.
    setsid().ok()?;
    let handed = take_over().ok()?;
    let folder = AttemptFolder::open(folder).ok()?;
    // Without a result the daemon finds that the supervisor died, which is the truth.
    run::run(&folder, handed).ok().map(|()| 0)
}

/// Returns what this process was given, with nothing in the place where that came in, so that no job gets it.
fn take_over() -> io::Result<Handover> {
    let handed = Handover::unpack(stdin())?;
    let nothing = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    dup2_stdin(nothing.as_fd())?;
    Ok(handed)
}
