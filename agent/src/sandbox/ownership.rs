//! Gives an attempt's folders to the attempt's user, before the job exists.

use std::{io, path::Path};

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid, chownat, openat};

/// Deepest folder that is handed over; trees are refused long before.
const MAX_DEPTH: usize = 256;

/// Hands a folder and everything in it over. Links are not followed.
pub(super) fn hand_over(folder: &Path, uid: u32) -> io::Result<()> {
    let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(uid)));
    chownat(CWD, folder, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut open = vec![rustix::fs::Dir::new(openat(
        CWD,
        folder,
        flags,
        Mode::empty(),
    )?)?];
    loop {
        let depth = open.len();
        let Some(folder) = open.last_mut() else {
            return Ok(());
        };
        let Some(entry) = folder.next().transpose()? else {
            open.pop();
            continue;
        };
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let at = folder.fd()?;
        chownat(at, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)?;
        let is_folder = match entry.file_type() {
            rustix::fs::FileType::Directory => true,
            rustix::fs::FileType::Unknown => {
                let stat = rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?;
                stat.st_mode & libc::S_IFMT == libc::S_IFDIR
            }
            _ => false,
        };
        if is_folder {
            if depth >= MAX_DEPTH {
                return Err(io::Error::other("folders are nested too deeply"));
            }
            let below = openat(folder.fd()?, name, flags, Mode::empty())?;
            open.push(rustix::fs::Dir::new(below)?);
        }
    }
}
