//! File systems that a process outside serves to a sandbox (FUSE).
//!
//! The device has to be opened in the sandbox's own user namespace, or the kernel refuses to mount it there; whoever
//! serves it needs no rights. So the first process opens it, hands it out, mounts it, and does not keep it: only the
//! server has it then, and when that is gone every read fails instead of waiting.

use std::{
    ffi::CString,
    fs::{self, File},
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use agent_core::sandbox_plan::{Content, SandboxPlan};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    mount::{MountFlags, mount},
    process::{getegid, geteuid},
    thread::UnshareFlags,
};

use super::{
    init::{Failed, at},
    note::Note,
    root::Sources,
};
use crate::{
    lazy::devices::{self, Received},
    supervise::{ROLE, TRY_LAZY},
};

/// How long the sandbox's first process may take until it hands the devices out.
const HAND_OUT: Timespec = Timespec {
    tv_sec: 30,
    tv_nsec: 0,
};
/// Any folder would do to mount something on for a moment, in a view of the file system of one's own.
const SOMEWHERE: &str = "/usr";

/// Opens the device; in the namespace that it will be mounted in.
pub(super) fn open(device: &Path) -> io::Result<OwnedFd> {
    Ok(File::options().read(true).write(true).open(device)?.into())
}

/// Hands the plan's devices to the supervisor, if there are any.
pub(super) fn hand_out(
    plan: &SandboxPlan,
    sources: &Sources,
    control: &OwnedFd,
) -> Result<(), Failed> {
    let mounts = plan.mounts.iter().zip(&sources.0);
    let devices = mounts.filter(|(mount, _)| matches!(mount.content, Content::Lazy(_)));
    let devices: Vec<BorrowedFd<'_>> = devices
        .filter_map(|(_, device)| device.as_ref().map(|device| device.as_fd()))
        .collect();
    if devices.is_empty() {
        return Ok(());
    }
    devices::send(control, &devices).map_err(at("hand out what serves the datasets"))
}

/// Receives the plan's devices from the sandbox's first process.
pub(super) fn hear(plan: &SandboxPlan, control: &OwnedFd) -> Result<Vec<OwnedFd>, Failed> {
    if plan.lazy().next().is_none() {
        return Ok(Vec::new());
    }
    let what = "receive what serves the datasets";
    loop {
        let mut waiting = [PollFd::new(control, PollFlags::IN)];
        match poll(&mut waiting, Some(&HAND_OUT)) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(at(what)(error)),
            Ok(0) => return Err(at(what)(io::Error::from(io::ErrorKind::TimedOut))),
            Ok(_) => break,
        }
    }
    match devices::receive(control).map_err(at(what))? {
        Received::Devices(devices) => Ok(devices),
        Received::Words(words) => Err(match Note::decode(&words) {
            Some(Note::Failed(text)) => Failed::told(text),
            _ => at(what)(io::Error::from(io::ErrorKind::ConnectionAborted)),
        }),
    }
}

/// Mounts what the device's server serves: read-only, without programs or devices, for the job's user. Nobody has to
/// serve it yet, so nothing may be asked of what is there.
pub(super) fn put(target: &Path, device: &OwnedFd) -> io::Result<()> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    let fd = device.as_raw_fd();
    let options =
        format!("fd={fd},rootmode=40000,user_id={user},group_id={group},default_permissions");
    let options = CString::new(options)?;
    let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC;
    Ok(mount("dataset", target, "fuse", flags, options.as_c_str())?)
}

/// Returns the device if what it takes for lazy mounts works on this machine; tries it, with this program or with
/// `program`. Blocks for a moment.
pub(crate) fn usable(program: Option<&Path>, device: &Path) -> Option<PathBuf> {
    // Most machines without have no such file.
    drop(open(device).ok()?);
    let program = program.unwrap_or(Path::new("/proc/self/exe"));
    let tried = Command::new(program)
        .args([ROLE, TRY_LAZY])
        .arg(device)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    tried
        .is_ok_and(|status| status.success())
        .then(|| device.to_owned())
}

/// Is the process that tries whether the device can be mounted in a namespace of its own. It has one thread.
pub(crate) fn try_main(device: &Path) -> Option<i32> {
    let tried = || {
        let (user, group) = (geteuid().as_raw(), getegid().as_raw());
        own_namespaces()?;
        let device = open(device)?;
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("1000 {user} 1"))?;
        fs::write("/proc/self/gid_map", format!("1000 {group} 1"))?;
        put(Path::new(SOMEWHERE), &device)
    };
    tried().ok().map(|()| 0)
}

#[allow(unsafe_code, reason = "this process leaves its namespaces")]
fn own_namespaces() -> io::Result<()> {
    let own = UnshareFlags::NEWUSER | UnshareFlags::NEWNS;
    // SAFETY: the process has one thread, and no descriptors are unshared.
    Ok(unsafe { rustix::thread::unshare_unsafe(own) }?)
}
