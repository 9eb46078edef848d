//! The process itself: what it was given, and what it returns.

use std::{ffi::OsString, path::Path};

use super::{folder::AttemptFolder, run};
use crate::sandbox::{check_main, inherited};

/// Instead of a folder: look at the sandbox from inside. Started by the agent's own probe.
pub(crate) const CHECK: &str = "--check";

/// Is the supervisor. `args` are the program's arguments after [`super::ROLE`]: the attempt's folder and the
/// numbers of two descriptors, the listening socket and the lock. Must be called before anything starts a
/// thread.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ! {
    let args: Vec<OsString> = args.into_iter().collect();
    let code = match args.as_slice() {
        [check] if check == CHECK => check_main(),
        [folder, listener, lock] => supervise(folder.as_ref(), [listener, lock]),
        _ => None,
    };
    std::process::exit(code.unwrap_or(2))
}

/// Returns 0 once the attempt has a result.
fn supervise(folder: &Path, descriptors: [&OsString; 2]) -> Option<i32> {
    let [listener, lock] = descriptors.map(|number| inherited(number.to_str()?.parse().ok()?));
    let (listener, _lock) = (listener?, lock?);
    let folder = AttemptFolder::open(folder).ok()?;
    // Without a result the daemon finds that the supervisor died, which is the truth.
    run::run(&folder, listener.into()).ok().map(|()| 0)
}
