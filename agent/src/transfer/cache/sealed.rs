//! A folder that nobody may write to, and whose files tell when they were altered.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, SystemTime},
};

use agent_core::cache_plan::FileNumber;
use common::{
    tree::{EntryKind, Tree},
    units::Bytes,
};
use rustix::fs::{FileType, Mode, Stat, fchmod, fstat};

use crate::transfer::{
    beneath::{Folder, Mark, Nearby},
    donors::size_of,
    layout::Layout,
};

/// When every sealed file says that it was written (2000-01-01): the same on every machine, and any later time
/// means that somebody wrote to it.
pub(crate) const SEALED_AT: Duration = Duration::from_secs(946_684_800);

pub(crate) const FOLDER_MODE: u32 = 0o555;
const OPEN_FOLDER_MODE: u32 = 0o755;

/// Seals everything in the folder at `path`, which holds `tree`, but neither the folder itself nor what is sealed
/// already because it is another tree's.
pub(super) fn seal(path: &Path, tree: &Tree, layout: &Layout) -> io::Result<()> {
    let root = Folder::open(path)?;
    let mut nearby = Nearby::new(&root);
    let linked = layout.linked();
    let is_linked = |index| linked.binary_search_by_key(&index, |linked| linked.entry);
    for (index, entry) in tree.entries().iter().enumerate().rev() {
        let at = &entry.path;
        match &entry.kind {
            EntryKind::File { executable, .. } => {
                if !layout.is_sealed(index) && is_linked(index).is_err() {
                    let (folder, name) = nearby.parent(at.as_bytes())?;
                    seal_file(&folder.read(name)?.0, *executable)?;
                }
            }
            EntryKind::Directory => {
                let mode = Mode::from_raw_mode(FOLDER_MODE);
                fchmod(root.folder(at)?, mode)?;
            }
            EntryKind::Symlink { .. } => {}
        }
    }
    Ok(())
}

/// Seals one file, of our own, to which everything was written.
pub(crate) fn seal_file(file: &File, executable: bool) -> io::Result<()> {
    file.set_modified(SystemTime::UNIX_EPOCH + SEALED_AT)?;
    let mode = file_mode(executable);
    // Many were made with it: asking costs a tenth of setting it again.
    match fstat(file)?.st_mode & 0o7777 == mode {
        true => Ok(()),
        false => file.set_permissions(Permissions::from_mode(mode)),
    }
}

/// Returns the mode that a sealed file has.
pub(crate) const fn file_mode(executable: bool) -> u32 {
    if executable { 0o555 } else { 0o444 }
}

pub(super) fn seal_outermost(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE))
}

pub(super) fn open_outermost(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(OPEN_FOLDER_MODE))
}

/// Returns whether every entry of `tree` stands in the folder as it was sealed: kind, size, time, target. `None` is
/// that one does not; else the files that have more names than one. Neither the number of names nor the time of a
/// change of the inode matters: both change when another tree comes to share a file.
pub(super) fn look(path: &Path, tree: &Tree) -> Option<Vec<(FileNumber, Bytes)>> {
    let look = || -> io::Result<Option<Vec<(FileNumber, Bytes)>>> {
        let root = Folder::open(path)?;
        let mut nearby = Nearby::new(&root);
        let mut shared = Vec::new();
        for entry in tree.entries() {
            let at = &entry.path;
            let stat = nearby.stat(at)?;
            let same = match &entry.kind {
                EntryKind::Directory => is(&stat, FileType::Directory),
                EntryKind::Symlink { target } => {
                    is(&stat, FileType::Symlink) && root.link(at)? == *target
                }
                EntryKind::File { chunks, .. } => {
                    let mark = Mark::of_stat(&stat);
                    if stat.st_nlink > 1 {
                        shared.push((FileNumber(stat.st_ino), Bytes(mark.size)));
                    }
                    is(&stat, FileType::RegularFile)
                        && mark.size == size_of(chunks)
                        && mark.modified == SEALED_AT
                }
            };
            if !same {
                return Ok(None);
            }
        }
        Ok(Some(shared))
    };
    look().ok().flatten()
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

/// Lets an ordinary user make and remove things in a sealed folder.
pub(super) fn unseal(path: &Path) -> io::Result<()> {
    open_outermost(path)?;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            unseal(&entry.path())?;
        }
    }
    Ok(())
}
