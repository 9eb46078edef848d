//! A folder that nobody may write to, and whose files tell when they were altered.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, SystemTime},
};

use common::tree::{EntryKind, Tree};
use rustix::fs::{FileType, Stat};

use crate::transfer::beneath::{Folder, Mark};

/// When every sealed file says that it was written (2000-01-01): the same on every machine, and any later time
/// means that somebody wrote to it.
const SEALED_AT: Duration = Duration::from_secs(946_684_800);

const FOLDER_MODE: u32 = 0o555;
const OPEN_FOLDER_MODE: u32 = 0o755;

/// Seals everything in the folder at `path`, which holds `tree`, but not the folder itself.
pub(super) fn seal(path: &Path, tree: &Tree) -> io::Result<()> {
    let root = Folder::open(path)?;
    let time = SystemTime::UNIX_EPOCH + SEALED_AT;
    for entry in tree.entries().iter().rev() {
        let at = entry.path.as_str();
        match &entry.kind {
            EntryKind::File { executable, .. } => {
                let (file, _) = root.read(at)?;
                file.set_modified(time)?;
                file.set_permissions(Permissions::from_mode(file_mode(*executable)))?;
            }
            EntryKind::Directory => {
                let folder = File::open(path.join(at))?;
                folder.set_permissions(Permissions::from_mode(FOLDER_MODE))?;
            }
            EntryKind::Symlink { .. } => {}
        }
    }
    Ok(())
}

fn file_mode(executable: bool) -> u32 {
    if executable { 0o555 } else { 0o444 }
}

pub(super) fn seal_outermost(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE))
}

pub(super) fn open_outermost(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(OPEN_FOLDER_MODE))
}

/// Returns whether every entry of `tree` stands in the folder as it was sealed: kind, size, time, target.
pub(super) fn is_intact(path: &Path, tree: &Tree) -> bool {
    let intact = || -> io::Result<bool> {
        let root = Folder::open(path)?;
        for entry in tree.entries() {
            let at = entry.path.as_str();
            let stat = root.stat(at)?;
            let same = match &entry.kind {
                EntryKind::Directory => is(&stat, FileType::Directory),
                EntryKind::Symlink { target } => {
                    is(&stat, FileType::Symlink) && root.link(at)?.as_ref() == Some(target)
                }
                EntryKind::File { chunks, .. } => {
                    let size = chunks
                        .iter()
                        .map(|chunk| u64::from(chunk.bytes))
                        .sum::<u64>();
                    let mark = Mark::of_stat(&stat);
                    is(&stat, FileType::RegularFile)
                        && mark.size == size
                        && mark.modified == SEALED_AT
                }
            };
            if !same {
                return Ok(false);
            }
        }
        Ok(true)
    };
    intact().unwrap_or(false)
}

fn is(stat: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(stat.st_mode) == kind
}

/// Removes a file, or a folder that may be sealed.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.is_dir() {
        return fs::remove_file(path);
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            unseal(path)?;
            fs::remove_dir_all(path)
        }
        done => done,
    }
}

/// Lets an ordinary user remove what is in a sealed folder.
fn unseal(path: &Path) -> io::Result<()> {
    open_outermost(path)?;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            unseal(&entry.path())?;
        }
    }
    Ok(())
}
