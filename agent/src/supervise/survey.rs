//! How much disk an attempt's folders take, counted a little at a time so that nothing else has to wait.

use std::{io, path::PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, statat};

/// Deepest folder of a job, and most files; beyond, the job is ended as if its disk were full.
pub(super) const MAX_DEPTH: usize = 128;
pub(super) const MAX_FILES: u64 = 2_000_000;
/// Files looked at in one go.
const FILES_PER_STEP: u32 = 4096;
/// What the kernel counts blocks in, whatever the file system.
const BLOCK_BYTES: u64 = 512;

/// A count under way.
#[derive(Debug)]
pub(super) struct Survey {
    waiting: Vec<PathBuf>,
    open: Vec<Dir>,
    bytes: u64,
    files: u64,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// There is more to count.
    NotYet,
    /// Bytes that the folders take.
    All(u64),
    TooDeep,
    TooMany,
}

impl Survey {
    pub(super) fn of(folders: Vec<PathBuf>) -> Self {
        Self {
            waiting: folders,
            open: Vec::new(),
            bytes: 0,
            files: 0,
        }
    }

    /// Goes on counting. What vanishes or cannot be read meanwhile does not count.
    pub(super) fn step(&mut self) -> Counted {
        for _ in 0..FILES_PER_STEP {
            let Some(folder) = self.open.last_mut() else {
                let Some(path) = self.waiting.pop() else {
                    return Counted::All(self.bytes);
                };
                // What cannot be opened is gone.
                self.open.extend(open_folder(CWD, &path).ok());
                continue;
            };
            let entry = match folder.next() {
                Some(Ok(entry)) => entry,
                _ => {
                    self.open.pop();
                    continue;
                }
            };
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let Ok(at) = folder.fd() else { continue };
            let Ok(stat) = statat(at, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            self.files += 1;
            self.bytes += u64::try_from(stat.st_blocks).unwrap_or(0) * BLOCK_BYTES;
            if self.files > MAX_FILES {
                return Counted::TooMany;
            }
            if stat.st_mode & libc::S_IFMT == libc::S_IFDIR {
                let below = open_folder(at, name);
                if self.open.len() >= MAX_DEPTH {
                    return Counted::TooDeep;
                }
                self.open.extend(below.ok());
            }
        }
        Counted::NotYet
    }
}

fn open_folder(at: impl std::os::fd::AsFd, name: impl rustix::path::Arg) -> io::Result<Dir> {
    // Never through a link: the job may put one in a folder's place at any moment.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(Dir::new(openat(at, name, flags, Mode::empty())?)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn count(folder: &std::path::Path) -> Counted {
        let mut survey = Survey::of(vec![folder.to_owned()]);
        loop {
            match survey.step() {
                Counted::NotYet => {}
                done => return done,
            }
        }
    }

    #[test]
    fn what_files_take_is_counted_and_links_are_not_followed() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("large"), vec![1; 1 << 20]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("below")).unwrap();
        fs::write(folder.path().join("below/file"), vec![1; 100_000]).unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
        let Counted::All(bytes) = count(folder.path()) else {
            panic!("the count should end");
        };
        assert!((100_000..400_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn folders_without_end_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let mut path = folder.path().to_owned();
        for _ in 0..=MAX_DEPTH {
            path.push("d");
        }
        fs::create_dir_all(path).unwrap();
        assert_eq!(count(folder.path()), Counted::TooDeep);
    }
}
