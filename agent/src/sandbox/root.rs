//! The sandbox's file system, made from inside the new namespaces.
//!
//! Everything of the host is opened first, as the agent's user; everything is put in place afterwards, as the
//! job's. No path of the host is looked up once the new root stands.

use std::{
    fs, io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::symlink,
    },
    path::Path,
};

use agent_core::sandbox_plan::{Access, Content, Lazy, SandboxPlan};
use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    mount::{
        MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount,
        mount_bind, mount_change, mount_remount, move_mount, open_tree, unmount,
    },
};

use super::{
    init::{Failed, at},
    lazy,
    system::add_mount_attributes,
};

/// Most files in one folder in memory; what they take is limited by its size, what names take by this.
const MAX_SCRATCH_INODES: u32 = 1 << 18;
/// Files of `/proc` that tell of the host or change it.
pub(super) const MASKED_FILES: [&str; 9] = [
    "kcore",
    "keys",
    "key-users",
    "kmsg",
    "kallsyms",
    "sysrq-trigger",
    "timer_list",
    "sched_debug",
    "latency_stats",
];
/// The last names every GPU of the machine, also those that were not granted.
pub(super) const MASKED_FOLDERS: [&str; 4] = ["acpi", "scsi", "firmware", "driver/nvidia"];
pub(super) const FIXED_FOLDERS: [&str; 4] = ["sys", "irq", "bus", "fs"];

/// Host files, folders and devices, opened, in the order of the plan's mounts; `None` where nothing is bound.
pub(super) struct Sources(pub(super) Vec<Option<OwnedFd>>);

/// Opens everything of the host that the plan binds.
pub(super) fn open_sources(plan: &SandboxPlan) -> Result<Sources, Failed> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).map_err(at("make mounts private"))?;
    let open = |mount: &agent_core::sandbox_plan::Mount| {
        if let Content::Lazy(Lazy { device, .. }) = &mount.content {
            let failed = |error| Failed::new(&format!("open {}", device.display()), &error);
            return lazy::open(device).map(Some).map_err(failed);
        }
        let Content::Bind {
            source,
            access,
            optional,
        } = &mount.content
        else {
            return Ok(None);
        };
        match open_source(source, *access, *optional) {
            Ok(tree) => Ok(Some(tree)),
            Err(error) if *optional && error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failed::new(&format!("open {}", source.display()), &error)),
        }
    };
    let opened: Result<_, _> = plan.mounts.iter().map(open).collect();
    opened.map(Sources)
}

fn open_source(source: &Path, access: Access, optional: bool) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    // The system's own files may be links; an attempt's folders and datasets never are.
    if !optional {
        flags |= OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    }
    let tree = open_tree(CWD, source, flags)?;
    let attributes = match access {
        Access::ReadOnly => {
            libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV
        }
        Access::Data => {
            libc::MOUNT_ATTR_RDONLY
                | libc::MOUNT_ATTR_NOSUID
                | libc::MOUNT_ATTR_NODEV
                | libc::MOUNT_ATTR_NOEXEC
        }
        Access::Writable => libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
        Access::Device => {
            libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC
        }
    };
    add_mount_attributes(tree.as_fd(), attributes)?;
    Ok(tree)
}

/// Builds the root and enters it; the host's is gone afterwards.
pub(super) fn enter(plan: &SandboxPlan, sources: Sources) -> Result<(), Failed> {
    // Any folder would do to stand on: this one is on every machine, open to every user, and already in hand.
    scratch("/usr", "mode=0755,size=4m,nr_inodes=4096").map_err(at("mount the root"))?;
    rustix::process::chdir("/usr").map_err(at("enter the root"))?;
    for (mount, source) in plan.mounts.iter().zip(sources.0) {
        let target = Path::new(mount.target.trim_start_matches('/'));
        put(target, &mount.content, source)
            .map_err(|error| Failed::new(&format!("put {} in place", mount.target), &error))?;
    }
    proc().map_err(at("mount /proc"))?;
    terminals();
    if plan.shared.is_some() {
        queues();
    }
    rustix::process::pivot_root(".", ".").map_err(at("change the root"))?;
    unmount(".", UnmountFlags::DETACH).map_err(at("leave the old root"))?;
    rustix::process::chdir("/").map_err(at("enter the new root"))?;
    let fixed = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::RDONLY;
    mount_remount("/", MountFlags::BIND | fixed, c"").map_err(at("fix the root"))
}

pub(super) fn put(target: &Path, content: &Content, source: Option<OwnedFd>) -> io::Result<()> {
    match content {
        Content::Link { to } => below_its_folder(target, || symlink(to, target)),
        Content::Text { text } => below_its_folder(target, || fs::write(target, text)),
        Content::Scratch { size } => {
            folder(target)?;
            let size = size.0.max(1 << 12);
            let options = format!("mode=1777,size={size},nr_inodes={MAX_SCRATCH_INODES}");
            scratch(target, &options)
        }
        Content::Lazy(_) => {
            let Some(device) = source else {
                return Ok(());
            };
            folder(target)?;
            lazy::put(target, &device)
        }
        Content::Bind { .. } => {
            let Some(source) = source else {
                return Ok(());
            };
            if rustix::fs::fstat(&source)?.st_mode & libc::S_IFMT == libc::S_IFDIR {
                folder(target)?;
            } else {
                below_its_folder(target, || empty_file(target))?;
            }
            move_mount(
                source,
                "",
                CWD,
                target,
                MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
            )?;
            Ok(())
        }
    }
}

fn folder(target: &Path) -> io::Result<()> {
    below_its_folder(target, || there_already(fs::create_dir(target)))
}

/// Makes something, and before that its folder, which mostly is there: to ask each time would take longer.
fn below_its_folder(target: &Path, make: impl Fn() -> io::Result<()>) -> io::Result<()> {
    match (make(), target.parent()) {
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(parent)?;
            make()
        }
        (made, _) => made,
    }
}

fn there_already(made: io::Result<()>) -> io::Result<()> {
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Makes a file to put another on, where there is none.
pub(super) fn empty_file(path: &Path) -> io::Result<()> {
    let readable = Mode::RUSR | Mode::RGRP | Mode::ROTH;
    let made = mknodat(CWD, path, FileType::RegularFile, readable, 0);
    there_already(made.map_err(io::Error::from))
}

pub(super) fn scratch(target: impl AsRef<Path>, options: &str) -> io::Result<()> {
    let options = std::ffi::CString::new(options)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    Ok(mount(
        "tmpfs",
        target.as_ref(),
        "tmpfs",
        flags,
        options.as_c_str(),
    )?)
}

fn proc() -> io::Result<()> {
    fs::create_dir_all("proc")?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    if mount("proc", "proc", "proc", flags, None).is_err() {
        // In a container that hides parts of its own /proc, the kernel gives out only the part with processes.
        mount("proc", "proc", "proc", flags, c"subset=pid")?;
        return Ok(());
    }
    for name in MASKED_FILES {
        there(mount_bind("dev/null", format!("proc/{name}")))?;
    }
    for name in MASKED_FOLDERS {
        let target = format!("proc/{name}");
        if Path::new(&target).is_dir() {
            let empty = flags | MountFlags::RDONLY;
            mount("tmpfs", target, "tmpfs", empty, c"size=0k,nr_inodes=1")?;
        }
    }
    for name in FIXED_FOLDERS {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE;
        let target = format!("proc/{name}");
        let Ok(tree) = open_tree(CWD, target.as_str(), flags) else {
            continue;
        };
        add_mount_attributes(tree.as_fd(), libc::MOUNT_ATTR_RDONLY)?;
        move_mount(
            tree,
            "",
            CWD,
            target,
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
        )?;
    }
    Ok(())
}

/// Lets a mask be missing where there is nothing to mask.
fn there(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Err(rustix::io::Errno::NOENT) => Ok(()),
        other => Ok(other?),
    }
}

/// Gives the job terminals of its own, where the kernel lets it: programs such as `script` want them.
fn terminals() {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    if fs::create_dir_all("dev/pts").is_ok() {
        let options = c"newinstance,ptmxmode=0666,mode=0620";
        let _ = mount("devpts", "dev/pts", "devpts", flags, options);
    }
}

/// Shows the job's message queues, so that none is left for the next task. A kernel without them has nothing to show.
fn queues() {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    if fs::create_dir_all("dev/mqueue").is_ok() {
        let _ = mount("mqueue", "dev/mqueue", "mqueue", flags, None);
    }
}
