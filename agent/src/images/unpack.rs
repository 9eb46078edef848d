//! Layers on top of each other, as one folder: what an image's root is made of.
//!
//! Layers come from strangers. Nothing is written but beneath the folder, links are made but never followed,
//! devices and pipes are left out, nobody but the agent may write, and no set-user-id bit survives. What a
//! layer takes away (`.wh.NAME`, `.wh..wh..opq`) is only ever taken from the layers below it.

mod paths;
mod removal;

use std::{
    collections::HashSet,
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use common::{code::Code, problem::Problem, units::Bytes};
use link::trees::io_problem;
use rustix::{
    fs::{
        AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, chmodat, fchmod, fstat, futimens,
        linkat, mkdirat, openat, statat, symlinkat,
    },
    io::Errno,
};

use self::paths::{Change, change, clean, shown};
use super::{
    bad_image,
    beneath::{open_folder, open_root},
    tarball::{Item, Kind, MAX_PATH_BYTES, each},
};

/// Most files and folders of an image, layers counted one by one.
pub(super) const MAX_ENTRIES: usize = 1_000_000;
/// What a file's last block and its inode take at most, on common file systems.
const ENTRY_BYTES: u64 = 4096;
/// Room is taken in steps of this.
const ROOM_STEP: u64 = 32 << 20;
const BUFFER_BYTES: usize = 256 << 10;
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o755);

/// An image's root that is being made.
pub(super) struct Unpacking<'a> {
    root: OwnedFd,
    /// Takes room on the disk up to so many bytes.
    room: &'a mut dyn FnMut(Bytes) -> Result<(), Problem>,
    /// Set when nobody waits for the image any more.
    given_up: &'a AtomicBool,
    taken: u64,
    bytes: u64,
    entries: usize,
    /// Inodes of what this layer made, and of folders below that it names: what it takes away spares them.
    made: HashSet<u64>,
    named: HashSet<u64>,
    /// The folder that was used last.
    parent: Option<(Vec<u8>, Arc<OwnedFd>)>,
    buffer: Vec<u8>,
}

impl<'a> Unpacking<'a> {
    /// Begins with the empty folder at `root`.
    pub(super) fn new(
        root: &Path,
        room: &'a mut dyn FnMut(Bytes) -> Result<(), Problem>,
        given_up: &'a AtomicBool,
    ) -> Result<Self, Problem> {
        let root = open_root(root).map_err(|error| failed(&error))?;
        fchmod(&root, FOLDER_MODE).map_err(|errno| failed(&errno.into()))?;
        Ok(Self {
            root,
            room,
            given_up,
            taken: 0,
            bytes: 0,
            entries: 0,
            made: HashSet::new(),
            named: HashSet::new(),
            parent: None,
            buffer: vec![0; BUFFER_BYTES],
        })
    }

    /// Adds a layer, which is an archive that is not packed any more.
    pub(super) fn add(&mut self, layer: impl Read) -> Result<(), Problem> {
        self.made.clear();
        self.named.clear();
        let left = MAX_ENTRIES - self.entries;
        each(layer, left, |item, content| self.take(&item, content)).map_err(|problem| {
            let over = problem.code == Code::BadImage && self.entries >= MAX_ENTRIES;
            if over {
                bad_image(format!("it has more than {MAX_ENTRIES} files and folders"))
            } else {
                problem
            }
        })
    }

    /// Returns the room that everything takes.
    pub(super) fn footprint(&self) -> Bytes {
        Bytes(self.bytes.saturating_add(self.entries as u64 * ENTRY_BYTES))
    }

    fn take(&mut self, item: &Item, content: &mut dyn Read) -> Result<(), Problem> {
        self.go_on()?;
        self.entries += 1;
        self.take_room()?;
        let path = clean(&item.path)?;
        if path.is_empty() {
            return Ok(());
        }
        match change(&path)? {
            Change::Remove { folder, name } => {
                let Some(folder) = self.folder_if_there(folder)? else {
                    return Ok(());
                };
                self.forget_parent();
                return self
                    .remove(&folder, name, true)
                    .map_err(|errno| failed(&errno.into()));
            }
            Change::Clear { folder } => {
                let Some(folder) = self.folder_if_there(folder)? else {
                    return Ok(());
                };
                self.forget_parent();
                return self
                    .clear(&folder, true)
                    .map_err(|errno| failed(&errno.into()));
            }
            Change::Ignore => return Ok(()),
            Change::Add => {}
        }
        let (parent, name) = self.parent(&path)?;
        match &item.kind {
            Kind::Folder => self.make_folder(&parent, name),
            Kind::File => self.make_file(&parent, name, item, content),
            Kind::Symlink(target) => self.make_link(&parent, name, target),
            Kind::HardLink(target) => self.make_hard_link(&parent, name, target),
            // A job has the devices that the sandbox gives it, and no others.
            Kind::Special => Ok(()),
        }
    }

    fn go_on(&self) -> Result<(), Problem> {
        if self.given_up.load(Ordering::Relaxed) {
            let why = "nobody waits for it any more";
            return Err(Problem::new(Code::Cancelled, super::WHAT, why));
        }
        Ok(())
    }

    fn take_room(&mut self) -> Result<(), Problem> {
        let needed = self.footprint().0;
        if needed > self.taken {
            let step = needed.next_multiple_of(ROOM_STEP);
            (self.room)(Bytes(step))?;
            self.taken = step;
        }
        Ok(())
    }

    /// Returns the folder that `path` stands in, made if it is not there, and the name in it.
    fn parent<'p>(&mut self, path: &'p [u8]) -> Result<(Arc<OwnedFd>, &'p [u8]), Problem> {
        let cut = path.iter().rposition(|byte| *byte == b'/');
        let (folder, name) = cut.map_or((&path[..0], path), |cut| (&path[..cut], &path[cut + 1..]));
        if let Some((last, fd)) = &self.parent
            && last == folder
        {
            return Ok((Arc::clone(fd), name));
        }
        let fd = match open_folder(&self.root, folder) {
            Err(Errno::NOENT) => self.make_folders(folder)?,
            opened => opened.map_err(|errno| in_the_way(folder, errno))?,
        };
        let fd = Arc::new(fd);
        self.parent = Some((folder.to_vec(), Arc::clone(&fd)));
        Ok((fd, name))
    }

    /// Makes a folder and those above it: layers need not name them.
    fn make_folders(&mut self, path: &[u8]) -> Result<OwnedFd, Problem> {
        let ends = path
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'/')
            .map(|(end, _)| end);
        for end in ends.chain([path.len()]) {
            let (above, name) = match path[..end].iter().rposition(|byte| *byte == b'/') {
                Some(cut) => (&path[..cut], &path[cut + 1..end]),
                None => (&path[..0], &path[..end]),
            };
            let above = open_folder(&self.root, above).map_err(|errno| in_the_way(path, errno))?;
            match mkdirat(&above, name, FOLDER_MODE) {
                Ok(()) => self.made_folder(&above, name)?,
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(in_the_way(path, errno)),
            }
        }
        open_folder(&self.root, path).map_err(|errno| in_the_way(path, errno))
    }

    /// Returns a folder that something is taken from.
    fn folder_if_there(&self, path: &[u8]) -> Result<Option<OwnedFd>, Problem> {
        match open_folder(&self.root, path) {
            Ok(folder) => Ok(Some(folder)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(in_the_way(path, errno)),
        }
    }

    fn make_folder(&mut self, parent: &OwnedFd, name: &[u8]) -> Result<(), Problem> {
        for _ in 0..2 {
            match mkdirat(parent, name, FOLDER_MODE) {
                Ok(()) => return self.made_folder(parent, name),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(failed(&errno.into())),
            }
            let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
            let stat = stat.map_err(|errno| failed(&errno.into()))?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                self.named.insert(stat.st_ino);
                return Ok(());
            }
            self.clear_place(parent, name)?;
        }
        Err(failed(&Errno::EXIST.into()))
    }

    /// Notes a new folder; what the process's mask took from its mode is given back.
    fn made_folder(&mut self, parent: &OwnedFd, name: &[u8]) -> Result<(), Problem> {
        let noted = chmodat(parent, name, FOLDER_MODE, AtFlags::empty())
            .and_then(|()| statat(parent, name, AtFlags::SYMLINK_NOFOLLOW));
        self.made
            .insert(noted.map_err(|errno| failed(&errno.into()))?.st_ino);
        Ok(())
    }

    fn make_file(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        item: &Item,
        content: &mut dyn Read,
    ) -> Result<(), Problem> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let private = Mode::from_raw_mode(0o600);
        let make = || openat(parent, name, flags, private);
        let file = self.in_place(parent, name, make)?;
        let mut file = File::from(file);
        let mut written = 0;
        loop {
            let count = content
                .read(&mut self.buffer)
                .map_err(|error| super::tarball::unreadable(&error))?;
            if count == 0 {
                break;
            }
            written += count as u64;
            self.bytes += count as u64;
            self.take_room()?;
            self.go_on()?;
            file.write_all(&self.buffer[..count])
                .map_err(|error| failed(&error))?;
        }
        if written != item.size {
            return Err(bad_image("a layer ends in the middle of a file"));
        }
        let modified = Timespec {
            tv_sec: i64::try_from(item.modified).unwrap_or(0),
            tv_nsec: 0,
        };
        let times = Timestamps {
            last_access: modified,
            last_modification: modified,
        };
        let finished = fchmod(&file, readable(item.mode))
            .and_then(|()| futimens(&file, &times))
            .and_then(|()| fstat(&file));
        self.made
            .insert(finished.map_err(|errno| failed(&errno.into()))?.st_ino);
        Ok(())
    }

    fn make_link(&mut self, parent: &OwnedFd, name: &[u8], target: &[u8]) -> Result<(), Problem> {
        if target.is_empty() || target.len() > MAX_PATH_BYTES || target.contains(&0) {
            return Err(bad_image("it has a link that leads nowhere"));
        }
        self.in_place(parent, name, || symlinkat(target, parent, name))?;
        self.note(parent, name)
    }

    fn make_hard_link(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        target: &[u8],
    ) -> Result<(), Problem> {
        let target = clean(target)?;
        let missing = || {
            bad_image(format!(
                "a file is to be the same as {}, which is not there",
                shown(&target)
            ))
        };
        let cut = target.iter().rposition(|byte| *byte == b'/');
        let (folder, file) = cut.map_or((&target[..0], &*target), |cut| {
            (&target[..cut], &target[cut + 1..])
        });
        let folder = self.folder_if_there(folder)?.ok_or_else(missing)?;
        let stat = statat(&folder, file, AtFlags::SYMLINK_NOFOLLOW).map_err(|_| missing())?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if ![FileType::RegularFile, FileType::Symlink].contains(&kind) {
            return Err(missing());
        }
        let here = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
        if here.is_ok_and(|here| here.st_ino == stat.st_ino) {
            return Ok(());
        }
        self.in_place(parent, name, || {
            linkat(&folder, file, parent, name, AtFlags::empty())
        })?;
        self.note(parent, name)
    }

    fn note(&mut self, parent: &OwnedFd, name: &[u8]) -> Result<(), Problem> {
        let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
        self.made
            .insert(stat.map_err(|errno| failed(&errno.into()))?.st_ino);
        Ok(())
    }

    /// Makes something new; what stood at its place goes.
    fn in_place<T>(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        mut make: impl FnMut() -> rustix::io::Result<T>,
    ) -> Result<T, Problem> {
        match make() {
            Err(Errno::EXIST) => {
                self.clear_place(parent, name)?;
                make().map_err(|errno| failed(&errno.into()))
            }
            made => made.map_err(|errno| failed(&errno.into())),
        }
    }

    fn clear_place(&mut self, parent: &OwnedFd, name: &[u8]) -> Result<(), Problem> {
        self.forget_parent();
        self.remove(parent, name, false)
            .map_err(|errno| failed(&errno.into()))
    }

    fn forget_parent(&mut self) {
        self.parent = None;
    }
}

/// Returns the mode of a file: everybody may do what its owner or everybody may in the image, but for writing.
/// Inside a sandbox there is one user, who is neither root nor the owner, and whose image it is.
fn readable(mode: u32) -> Mode {
    let class = (mode >> 6 | mode) & 0o5;
    Mode::from_raw_mode(class << 6 | class << 3 | class)
}

fn in_the_way(path: &[u8], errno: Errno) -> Problem {
    match errno {
        Errno::LOOP | Errno::NOTDIR => {
            let path = shown(path);
            bad_image(format!(
                "it puts files below {path}, which is a link or a file"
            ))
        }
        errno => failed(&errno.into()),
    }
}

fn failed(error: &std::io::Error) -> Problem {
    io_problem("the image cannot be unpacked", error)
}

#[cfg(test)]
mod tests;
