//! A folder whose content is only ever reached beneath it, through no symbolic link.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    time::Duration,
};

use common::tree::LinkTarget;
use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, mkdirat, openat,
        openat2, readlinkat, statat,
    },
    io::Errno,
};

/// Most tries of an `openat2` that the kernel asks to repeat because something was renamed meanwhile.
const MAX_TRIES: usize = 16;

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

impl Folder {
    /// Opens the folder at `path`, which itself may be reached through links: the caller vouches for it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(openat(CWD, path, flags, Mode::empty())?))
    }

    /// Opens a folder inside; the empty path is this one.
    pub(super) fn folder(&self, path: impl AsRef<[u8]>) -> io::Result<Self> {
        let path = path.as_ref();
        let path = if path.is_empty() { b"." } else { path };
        self.openat(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
            .map(Self)
    }

    /// Opens a regular file for reading. Does not wait for anything that is not one.
    pub(super) fn read(&self, path: impl AsRef<[u8]>) -> io::Result<(File, Mark)> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::from(self.openat(path.as_ref(), flags, Mode::empty())?);
        let mark = Mark::of(&file)?;
        Ok((file, mark))
    }

    /// Opens a regular file for writing, and makes it if it is not there.
    pub(super) fn write(
        &self,
        path: impl AsRef<[u8]>,
        mode: Mode,
        more: OFlags,
    ) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NONBLOCK | OFlags::NOCTTY | more;
        let file = File::from(self.openat(path.as_ref(), flags, mode)?);
        Mark::of(&file)?;
        Ok(file)
    }

    /// Returns what stands at `path`, a link as itself.
    pub(super) fn stat(&self, path: impl AsRef<[u8]>) -> io::Result<Stat> {
        let (parent, name) = self.parent(path.as_ref())?;
        Ok(statat(parent.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Returns whether anything stands at `path`, a link as itself.
    pub(super) fn has(&self, path: impl AsRef<[u8]>) -> bool {
        let mut path = path.as_ref();
        while let Some(shorter) = path.strip_suffix(b"/") {
            path = shorter;
        }
        self.stat(path.strip_prefix(b"./").unwrap_or(path)).is_ok()
    }

    /// Returns where the link at `path` leads.
    pub(super) fn link(&self, path: impl AsRef<[u8]>) -> io::Result<LinkTarget> {
        let (parent, name) = self.parent(path.as_ref())?;
        let target = readlinkat(parent.as_fd(), name, Vec::new())?;
        Ok(LinkTarget::new(target.into_bytes()))
    }

    /// Returns the folder in which `path` stands, and its name there.
    pub(super) fn parent<'a>(&self, path: &'a [u8]) -> io::Result<(Self, &'a [u8])> {
        let (parent, name) = in_folder(path);
        Ok((self.folder(parent)?, name))
    }

    /// Makes the folder at `path`; whether it was there does not matter.
    pub(super) fn make_folder(&self, path: impl AsRef<[u8]>, mode: Mode) -> io::Result<()> {
        let path = path.as_ref();
        let (parent, name) = self.parent(path)?;
        match mkdirat(parent.as_fd(), name, mode) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => self.folder(path).map(drop),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Returns the names in this folder, sorted. Stops after `most`.
    pub(super) fn names(&self, most: usize) -> io::Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            let name = entry.file_name();
            if [c".", c".."].contains(&name) {
                continue;
            }
            if names.len() > most {
                break;
            }
            names.push(name.to_bytes().to_vec());
        }
        names.sort();
        Ok(names)
    }

    fn openat(&self, path: &[u8], flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let mut tries = 0;
        loop {
            tries += 1;
            match openat2(&self.0, path, flags, mode, resolve) {
                Err(Errno::AGAIN | Errno::INTR) if tries < MAX_TRIES => {}
                done => return Ok(done?),
            }
        }
    }
}

/// The folder of the path that was asked for last, kept open for the next one in it: paths come in order.
#[derive(Debug)]
pub(super) struct Nearby<'a> {
    root: &'a Folder,
    last: Option<(Vec<u8>, Folder)>,
}

impl<'a> Nearby<'a> {
    pub(super) const fn new(root: &'a Folder) -> Self {
        Self { root, last: None }
    }

    pub(super) const fn root(&self) -> &'a Folder {
        self.root
    }

    /// Returns the folder in which `path` stands, and its name there.
    pub(super) fn parent<'p>(&mut self, path: &'p [u8]) -> io::Result<(&Folder, &'p [u8])> {
        let (parent, name) = in_folder(path);
        let last = match self.last.take() {
            Some(last) if last.0 == parent => last,
            _ => (parent.to_vec(), self.root.folder(parent)?),
        };
        Ok((&self.last.insert(last).1, name))
    }

    /// Returns what stands at `path`, a link as itself.
    pub(super) fn stat(&mut self, path: impl AsRef<[u8]>) -> io::Result<Stat> {
        let (parent, name) = self.parent(path.as_ref())?;
        Ok(statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

/// Splits a path into the folder in which it stands, empty for the outermost, and its name there.
pub(super) fn in_folder(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What identifies a file and its state: if any of it differs, the file was changed or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) size: u64,
    /// Since 1970.
    pub(super) modified: Duration,
    /// When anything of it was changed, its time included: that one nobody can set.
    pub(super) changed: Duration,
    pub(super) executable: bool,
}

impl Mark {
    /// Returns the mark of an open file, which must be a regular one.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let stat = fstat(file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("it is not a regular file any more"));
        }
        Ok(Self::of_stat(&stat))
    }

    pub(super) fn of_stat(stat: &Stat) -> Self {
        let since = |seconds: i64, nanoseconds| {
            let seconds = u64::try_from(seconds).unwrap_or(0);
            Duration::new(seconds, u32::try_from(nanoseconds).unwrap_or(0))
        };
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: since(stat.st_mtime, stat.st_mtime_nsec),
            changed: since(stat.st_ctime, stat.st_ctime_nsec),
            executable: stat.st_mode & 0o111 != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn nothing_is_reached_through_a_link_or_above() {
        let place = tempfile::tempdir().unwrap();
        let inside = place.path().join("inside");
        fs::create_dir_all(inside.join("real")).unwrap();
        fs::write(inside.join("real/file"), "").unwrap();
        fs::create_dir(place.path().join("secret")).unwrap();
        fs::write(place.path().join("secret/file"), "").unwrap();
        symlink("../secret", inside.join("out")).unwrap();
        symlink("real", inside.join("in")).unwrap();
        symlink("real/file", inside.join("file")).unwrap();
        let folder = Folder::open(&inside).unwrap();
        folder.read("real/file").unwrap();
        folder.stat("out").unwrap();
        let mode = Mode::from_raw_mode(0o600);
        for link in ["out", "in", "../secret"] {
            let below = format!("{link}/file");
            folder.folder(link).unwrap_err();
            folder.read(&below).unwrap_err();
            folder.stat(&below).unwrap_err();
            folder.link(&below).unwrap_err();
            folder.write(&below, mode, OFlags::empty()).unwrap_err();
            folder.make_folder(format!("{link}/new"), mode).unwrap_err();
        }
        folder.make_folder("out", mode).unwrap_err();
        folder.read("file").unwrap_err();
        folder.write("file", mode, OFlags::empty()).unwrap_err();
        assert!(!place.path().join("secret/new").exists());
    }
}
