//! One disk: an image, the device that is made of it, and its file system, mounted where nobody sees it.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use common::units::Bytes;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use super::{device::Device, shape::Shape};
use crate::scrap;

/// An image that has grown beyond this is not worth keeping for the next attempt.
const MAX_KEPT: u64 = 64 << 20;
/// What `stat` counts blocks in.
const STAT_BLOCK: u64 = 512;
/// Checks a file system that was in use when the machine went down.
const CHECK: [&str; 2] = ["/usr/sbin/e2fsck", "/sbin/e2fsck"];
/// Looks at an emptied disk until it is as new, and the pause between them: the kernel lets go of what a sandbox had
/// mounted a moment after its last process has ended.
const FRESH_LOOKS: u32 = 50;
const FRESH_PAUSE: Duration = Duration::from_millis(4);
/// Tries to reach a disk that is just being let go of, and the pause between them.
const FIND_TRIES: u32 = 100;
const FIND_PAUSE: Duration = Duration::from_millis(10);

/// See the module. Dropping it leaves the image, and lets go of the device unless a supervisor uses it.
#[derive(Debug)]
pub struct Disk {
    shape: Shape,
    image: PathBuf,
    /// How much of it was free when it was new; `None` where nobody has seen it then.
    fresh: Option<Free>,
    mounted: OwnedFd,
    device: PathBuf,
}

/// Blocks and files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Free(u64, u64);

impl Disk {
    /// Mounts the new file system in `image`.
    pub(super) fn attach(shape: Shape, image: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(image)?;
        let device = Device::of(&file)?;
        let mut disk = Self {
            shape,
            image: image.to_owned(),
            fresh: None,
            mounted: mount(&device.path)?,
            device: device.path,
        };
        // What every new file system has, and no job needs.
        fs::remove_dir(disk.path().join("lost+found"))?;
        disk.fresh = Some(disk.free()?);
        Ok(disk)
    }

    /// Mounts the file system in an image that an attempt uses or has used.
    pub(super) fn found(image: &Path) -> io::Result<Self> {
        let mut tries = 0;
        let (mounted, device) = loop {
            tries += 1;
            let reached = match Device::found(image)? {
                Some(device) => mount(&device.path).map(|mounted| (mounted, device)),
                None => {
                    check(image)?;
                    let file = File::options().read(true).write(true).open(image)?;
                    let device = Device::of(&file)?;
                    mount(&device.path).map(|mounted| (mounted, device))
                }
            };
            match reached {
                Ok(reached) => break reached,
                Err(error) if tries == FIND_TRIES => return Err(error),
                Err(_) => std::thread::sleep(FIND_PAUSE),
            }
        };
        Ok(Self {
            shape: Shape::of(Bytes::ZERO),
            image: image.to_owned(),
            fresh: None,
            mounted,
            device: device.path,
        })
    }

    pub(super) const fn shape(&self) -> Shape {
        self.shape
    }

    /// Returns the device that it is on.
    #[cfg(test)]
    pub(super) fn device(&self) -> &Path {
        &self.device
    }

    /// Returns its root, as this process reaches it.
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.mounted.as_raw_fd()).into()
    }

    /// Mounts it once more, for somebody who puts it in a place. The files are the same.
    ///
    /// # Errors
    /// As for mounting.
    pub fn mount_again(&self) -> io::Result<OwnedFd> {
        mount(&self.device)
    }

    /// Moves the image, which stays in use.
    ///
    /// # Errors
    /// It cannot be moved there.
    pub fn moved(mut self, image: &Path) -> io::Result<Self> {
        fs::rename(&self.image, image)?;
        self.image = image.to_owned();
        Ok(self)
    }

    /// Empties it, and makes sure of that. A disk for which that fails is removed.
    pub(super) fn emptied(self) -> io::Result<Self> {
        let emptied = || {
            for entry in fs::read_dir(self.path())? {
                scrap::remove(&entry?.path())?;
            }
            let meta = fs::metadata(&self.image)?;
            io::Result::Ok(meta.blocks() * STAT_BLOCK <= MAX_KEPT && self.becomes_fresh()?)
        };
        match emptied() {
            Ok(true) => Ok(self),
            Ok(false) => {
                self.discard();
                Err(io::Error::other("it is not as it was"))
            }
            Err(error) => {
                self.discard();
                Err(error)
            }
        }
    }

    fn becomes_fresh(&self) -> io::Result<bool> {
        for _ in 1..FRESH_LOOKS {
            if self.is_fresh()? {
                return Ok(true);
            }
            std::thread::sleep(FRESH_PAUSE);
        }
        self.is_fresh()
    }

    fn is_fresh(&self) -> io::Result<bool> {
        Ok(self.fresh == Some(self.free()?))
    }

    fn free(&self) -> io::Result<Free> {
        let found = rustix::fs::fstatvfs(self.mounted.as_fd())?;
        Ok(Free(found.f_bfree, found.f_ffree))
    }

    /// Removes the image; the rest goes by itself.
    pub fn discard(self) {
        if let Err(error) = fs::remove_file(&self.image) {
            tracing::debug!(%error, "a disk's image cannot be removed");
        }
    }
}

/// Mounts a device without putting it anywhere. For one that is mounted already, the file system is the same.
fn mount(device: &Path) -> io::Result<OwnedFd> {
    let system = fsopen("ext4", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(system.as_fd(), "source", device)?;
    // Nobody needs this file system after a power cut, so nobody waits for the disk.
    for flag in ["nobarrier", "noinit_itable", "noauto_da_alloc"] {
        fsconfig_set_flag(system.as_fd(), flag)?;
    }
    fsconfig_create(system.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    Ok(fsmount(
        system.as_fd(),
        FsMountFlags::FSMOUNT_CLOEXEC,
        attributes,
    )?)
}

/// Repairs what a power cut may have left, as far as that needs no answers.
fn check(image: &Path) -> io::Result<()> {
    let Some(program) = CHECK.iter().find(|path| Path::new(path).exists()) else {
        return Ok(());
    };
    let mut command = Command::new(program);
    command.arg("-p").arg(image).env_clear();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // What cannot be repaired shows when it is read.
    command.status().map(drop)
}
