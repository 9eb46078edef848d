//! A writable copy of a cached tree: the work folder of an attempt.

use std::{
    fs::{self, File},
    io,
    os::{fd::AsFd, unix::fs::PermissionsExt},
    path::Path,
};

use common::{
    code::Code,
    problem::Problem,
    tree::{EntryKind, TreePath},
};
use link::trees::io_problem;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, chownat, fchown, ioctl_ficlone, symlinkat};

use super::Pinned;
use crate::transfer::beneath::Folder;

/// To whom a copy belongs where an agent that is root makes it for somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// Copies a tree into `into`, which is made if it is not there and must be empty. Blocks. What can share its
/// blocks with the cache does. What is at one of the paths in `except`, or below it, is left out.
///
/// # Errors
/// `disk_full`, `io_error`; `checksum_mismatch` if the cache was altered.
pub fn copy_into(
    pinned: &Pinned,
    into: &Path,
    owner: Option<Owner>,
    except: &[TreePath],
) -> Result<(), Problem> {
    let what = || format!("cannot copy the data to {}", into.display());
    let manifest = pinned.manifest()?;
    let failed = |error: io::Error| io_problem(what(), &error);
    fs::create_dir_all(into).map_err(failed)?;
    if fs::read_dir(into).map_err(failed)?.next().is_some() {
        return Err(Problem::new(Code::Io, what(), "the folder is not empty"));
    }
    let copy = || -> io::Result<bool> {
        let (from, to) = (Folder::open(pinned.path())?, Folder::open(into)?);
        give(&to, owner)?;
        for entry in manifest.tree().entries() {
            let path = &entry.path;
            if except.iter().any(|folder| path.is_within(folder)) {
                continue;
            }
            let mut above: Vec<&[u8]> = entry.path.ancestors().collect();
            above.reverse();
            match &entry.kind {
                EntryKind::Directory => above.push(path.as_bytes()),
                EntryKind::File { .. } | EntryKind::Symlink { .. } => {}
            }
            for folder in above {
                if to.stat(folder).is_err() {
                    to.make_folder(folder, Mode::from_raw_mode(0o755))?;
                    give(&to.folder(folder)?, owner)?;
                }
            }
            match &entry.kind {
                EntryKind::Directory => {}
                EntryKind::File { executable, chunks } => {
                    let (source, mark) = from.read(path)?;
                    let size = chunks
                        .iter()
                        .map(|chunk| u64::from(chunk.bytes))
                        .sum::<u64>();
                    if mark.size != size {
                        return Ok(false);
                    }
                    let mode = if *executable { 0o755 } else { 0o644 };
                    let target = to.write(path, Mode::from_raw_mode(mode), OFlags::EXCL)?;
                    copy_content(&source, &target)?;
                    // Whatever the umask took away.
                    target.set_permissions(fs::Permissions::from_mode(mode))?;
                    give(&target, owner)?;
                }
                EntryKind::Symlink { target } => {
                    let (parent, name) = to.parent(path.as_bytes())?;
                    symlinkat(target.as_bytes(), &parent, name)?;
                    if let Some(Owner { uid, gid }) = owner {
                        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
                        let flags = AtFlags::SYMLINK_NOFOLLOW;
                        chownat(&parent, name, Some(uid), Some(gid), flags)?;
                    }
                }
            }
        }
        Ok(true)
    };
    match copy().map_err(failed)? {
        true => Ok(()),
        false => {
            let why = format!("the cached copy of tree {} was altered", pinned.tree());
            Err(Problem::new(Code::Checksum, what(), why))
        }
    }
}

fn copy_content(mut from: &File, mut to: &File) -> io::Result<()> {
    if from.metadata()?.len() == 0 || ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    // The standard library lets the kernel copy where it can.
    io::copy(&mut from, &mut to).map(drop)
}

fn give(file: &impl AsFd, owner: Option<Owner>) -> io::Result<()> {
    if let Some(Owner { uid, gid }) = owner {
        fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    Ok(())
}
