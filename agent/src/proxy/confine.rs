//! What the proxy gives up before it accepts anything: everything but resolving names and connecting.

use std::{fs, io, path::PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath,
    PathFd, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, Scope,
};
use rustix::process::setpriority_process;

use super::listen::MAX_CONNECTIONS;
use crate::{
    rights::{Most, give_up},
    sandbox::install_filter,
};

const LANDLOCK: ABI = ABI::V6;
/// What the C library reads in order to resolve a name.
const FILES: [&str; 12] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/proc/sys/kernel/ngroups_max",
    "/proc/sys/vm/overcommit_memory",
    "/dev/null",
];
/// Where its parts and the sockets of its helpers are.
const FOLDERS: [&str; 7] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/run/nscd",
    "/run/systemd/resolve",
    "/run/avahi-daemon",
];
/// Two descriptors for each connection, and some for name servers and the rest.
const OPEN_FILES: u64 = 2 * MAX_CONNECTIONS as u64 + 256;
/// Of memory of its own: buffers of all connections take a tenth of that.
const DATA_BYTES: u64 = 192 << 20;
/// Behind everything else on the machine.
const NICE: i32 = 19;

/// Gives up what is not needed. `uid` is the user to become, for root.
pub(super) fn confine(uid: Option<u32>) -> io::Result<()> {
    let most = Most {
        open_files: OPEN_FILES,
        data_bytes: DATA_BYTES,
    };
    give_up(uid, most)?;
    // Not being last is no reason not to work.
    let _ = setpriority_process(None, NICE);
    // Best effort: older kernels have none, and the user that it is owns nothing.
    let _ = restrict_paths();
    install_filter()
}

fn restrict_paths() -> Result<(), RulesetError> {
    let files = FILES.iter().map(PathBuf::from);
    // Where name servers are managed by a program, the file is a link to one of that program's.
    let managed = fs::canonicalize("/etc/resolv.conf").ok();
    let files = files.chain(managed);
    let folders = FOLDERS.iter().map(PathBuf::from);
    let read: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?;
    let rights = files
        .map(|path| (path, AccessFs::ReadFile.into()))
        .chain(folders.map(|path| (path, read)));
    for (path, rights) in rights {
        if let Ok(open) = PathFd::new(path) {
            rules = rules.add_rule(PathBeneath::new(open, rights))?;
        }
    }
    rules.restrict_self().map(|_| ())
}
