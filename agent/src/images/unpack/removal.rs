//! What a layer takes away from those below it, or puts something else in the place of.

use std::{
    ffi::CStr,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, Dir, FileType, statat, unlinkat},
    io::Errno,
};

use super::Unpacking;
use crate::images::beneath::open_folder;

impl Unpacking<'_> {
    /// Removes what stands at a name, or only what lower layers put there. As deep as paths may be.
    pub(super) fn remove(
        &self,
        parent: impl AsFd,
        name: &[u8],
        lower: bool,
    ) -> rustix::io::Result<()> {
        let stat = match statat(parent.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            stat => stat?,
        };
        if lower && self.made.contains(&stat.st_ino) {
            return Ok(());
        }
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return unlinkat(parent.as_fd(), name, AtFlags::empty());
        }
        self.clear(&open_folder(parent.as_fd(), name)?, lower)?;
        if lower && self.named.contains(&stat.st_ino) {
            return Ok(());
        }
        match unlinkat(parent.as_fd(), name, AtFlags::REMOVEDIR) {
            // This layer put something there.
            Err(Errno::NOTEMPTY) if lower => Ok(()),
            removed => removed,
        }
    }

    pub(super) fn clear(&self, folder: &OwnedFd, lower: bool) -> rustix::io::Result<()> {
        let mut names = Vec::new();
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name: &CStr = entry.file_name();
            if ![c".", c".."].contains(&name) {
                names.push(name.to_bytes().to_vec());
            }
        }
        names
            .iter()
            .try_for_each(|name| self.remove(folder, name, lower))
    }
}
