//! Removes a folder that a job has made. Its author may be hostile: folders may be deeper than any stack or
//! number of open files allows, and may forbid everything to everybody.
//!
//! Every folder that is found is first moved up, beside the others, so that nothing is ever deeper than one
//! step. Links are removed, never followed. Nobody else works in the folder any more.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// What folders that were moved up are called; a job's own may be called so, too.
const MOVED: &str = "scrap-";

/// Removes `folder` and everything in it. Blocks. A folder that is not there is as good as removed.
///
/// # Errors
/// Something could not be removed; what could is gone.
pub(crate) fn remove(folder: &Path) -> io::Result<()> {
    match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.is_dir() => return fs::remove_file(folder),
        Ok(_) => {}
    }
    open_up(folder)?;
    let mut waiting = vec![folder.to_owned()];
    let mut number = 0_u64;
    while let Some(one) = waiting.pop() {
        for entry in fs::read_dir(&one)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                fs::remove_file(entry.path())?;
                continue;
            }
            // Moving a folder changes its own "..", which needs the right to write to it.
            open_up(&entry.path())?;
            if one == folder {
                waiting.push(entry.path());
            } else {
                let moved = free_name(folder, &mut number);
                fs::rename(entry.path(), &moved)?;
                waiting.push(moved);
            }
        }
        if one != folder {
            fs::remove_dir(&one)?;
        }
    }
    fs::remove_dir(folder)
}

fn open_up(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

fn free_name(folder: &Path, number: &mut u64) -> PathBuf {
    loop {
        let name = folder.join(format!("{MOVED}{number}"));
        *number += 1;
        if name.symlink_metadata().is_err() {
            return name;
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};

    use super::*;

    #[test]
    fn folders_deeper_than_any_path_are_removed() {
        let temp = tempfile::tempdir().unwrap();
        let top = temp.path().join("job");
        fs::create_dir(&top).unwrap();
        let flags = OFlags::DIRECTORY | OFlags::RDONLY;
        let mut at = openat(CWD, &top, flags, Mode::empty()).unwrap();
        for _ in 0..1500 {
            mkdirat(&at, "scrap-0", Mode::from_raw_mode(0o700)).unwrap();
            at = openat(&at, "scrap-0", flags, Mode::empty()).unwrap();
        }
        drop(at);
        remove(&top).unwrap();
        assert!(!top.exists());
    }

    #[test]
    fn what_forbids_everything_is_removed_and_links_are_not_followed() {
        let temp = tempfile::tempdir().unwrap();
        let (kept, top) = (temp.path().join("kept"), temp.path().join("job"));
        fs::create_dir_all(top.join("a/b/c")).unwrap();
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), b"mine").unwrap();
        std::os::unix::fs::symlink(&kept, top.join("a/link")).unwrap();
        fs::write(top.join("a/b/file"), b"x").unwrap();
        for folder in ["a/b/c", "a/b", "a", ""] {
            fs::set_permissions(top.join(folder), fs::Permissions::from_mode(0o000)).unwrap();
        }
        remove(&top).unwrap();
        assert!(!top.exists() && kept.join("file").exists());
        remove(&top).unwrap();
    }
}
