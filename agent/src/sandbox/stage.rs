//! The host's part of a sandbox laid out side by side, for backends that have another program build the rest.
//!
//! Such a program is given paths. Every path that it gets leads to this stage: a folder in memory of its own view
//! of the file system, in which each source stands under a number, opened and restricted as the native backend
//! does it. So that program never walks a path that somebody else may change, and what it might forget
//! (`noexec`, for one) holds already.

use std::{fs, io, os::fd::OwnedFd, os::unix::fs::PermissionsExt as _};

use agent_core::sandbox_plan::{Content, NetworkPlan, SandboxPlan};
use rustix::{
    fs::CWD,
    mount::{MountFlags, MoveMountFlags, mount, move_mount},
    process::Signal,
};

use super::{
    cgroup::LastDoor,
    init::{self, Failed, at, become_job, bound_user},
    lazy, network,
    root::{Sources, empty_file, open_sources, scratch},
};

/// Hides the host's folder of this name, which every machine has and neither program needs.
const STAGE: &str = "/run";
/// Terminals of the sandbox's own.
pub(super) const TERMINALS: &str = "/run/terminals";

/// Where each of the plan's mounts stands, in their order; `None` where nothing of the host is bound.
pub(super) type Staged = Vec<Option<String>>;

/// Does, in the first process of new namespaces, what has to be done before another program takes over: enters
/// the cgroup, becomes the job's user, and lays out the stage.
pub(super) fn prepare(plan: &SandboxPlan, control: &OwnedFd) -> Result<Staged, Failed> {
    let sources = begin(plan, control)?;
    lay_out(plan, sources).map_err(at("lay out the sandbox's parts"))
}

/// Does the same up to where the sources are open.
pub(super) fn begin(plan: &SandboxPlan, control: &OwnedFd) -> Result<Sources, Failed> {
    let sources = open_sources(plan)?;
    lazy::hand_out(plan, &sources, control)?;
    let doors = init::begin(control).map_err(at("hear of the supervisor"))?;
    let entered = doors.enter().and_then(LastDoor::enter);
    entered.map_err(at("enter the cgroup"))?;
    become_job(plan).map_err(at("change the user"))?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(at("follow the supervisor"))?;
    bound_user();
    if matches!(plan.network, NetworkPlan::Full { .. }) {
        network::begin(plan, control)?;
    }
    Ok(sources)
}

/// Puts an empty folder in memory where the stage will be.
pub(super) fn clear() -> io::Result<()> {
    scratch(STAGE, "mode=0755,size=16m,nr_inodes=65536")
}

fn lay_out(plan: &SandboxPlan, sources: Sources) -> io::Result<Staged> {
    clear()?;
    let staged = plan.mounts.iter().zip(sources.0).enumerate();
    let staged: io::Result<Staged> = staged
        .map(|(number, (wanted, source))| {
            let path = format!("{STAGE}/{number}");
            match (&wanted.content, source) {
                (Content::Text { text }, _) => {
                    fs::write(&path, text)?;
                    fs::set_permissions(&path, fs::Permissions::from_mode(0o444))?;
                }
                (Content::Lazy(_), Some(device)) => {
                    fs::create_dir(&path)?;
                    lazy::put(path.as_ref(), &device)?;
                }
                (_, Some(source)) => put(source, &path)?,
                (_, None) => return Ok(None),
            }
            Ok(Some(path))
        })
        .collect();
    fs::create_dir(TERMINALS)?;
    let options = c"newinstance,ptmxmode=0666,mode=0620";
    // A job without terminals is a job still.
    let _ = mount(
        "devpts",
        TERMINALS,
        "devpts",
        MountFlags::NOSUID | MountFlags::NOEXEC,
        options,
    );
    staged
}

fn put(source: OwnedFd, path: &str) -> io::Result<()> {
    if rustix::fs::fstat(&source)?.st_mode & libc::S_IFMT == libc::S_IFDIR {
        fs::create_dir(path)?;
    } else {
        empty_file(path.as_ref())?;
    }
    let here = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(move_mount(source, "", CWD, path, here)?)
}
