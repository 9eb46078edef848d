//! Files without content, made with the folders. In the cache they are one file with many names: names are cheaper than
//! files, and there may be a million.

use std::{fs::File, io};

use agent_core::cache_plan::FileNumber;
use common::tree::TreePath;
use rustix::{
    fs::{AtFlags, OFlags, fstat, linkat, unlinkat},
    io::Errno,
};

use super::{Leave, made_mode};
use crate::transfer::{
    beneath::{Folder, Nearby},
    cache::seal_file,
};

/// One file and the names that it has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transfer) struct Empty {
    pub(in crate::transfer) file: FileNumber,
    pub(in crate::transfer) names: usize,
}

/// Makes files in the order of the tree.
pub(super) struct Emptying<'a> {
    into: Nearby<'a>,
    leave: Leave,
    /// What was made last, for files that may be executed and for others: the next one is another name of it.
    last: [Option<(Made<'a>, Empty)>; 2],
    full: Vec<Empty>,
}

/// Where a file is.
struct Made<'a> {
    from: Nearby<'a>,
    path: &'a TreePath,
}

impl<'a> Emptying<'a> {
    pub(super) const fn new(into: &'a Folder, leave: Leave) -> Self {
        Self {
            into: Nearby::new(into),
            leave,
            last: [None, None],
            full: Vec::new(),
        }
    }

    /// Makes a file, sealed where that is how files are left.
    pub(super) fn make(&mut self, path: &'a TreePath, executable: bool) -> io::Result<()> {
        let root = self.into.root();
        let (folder, name) = self.into.parent(path.as_bytes())?;
        let make = |folder: &Folder| -> io::Result<File> {
            let file = folder.write(name, made_mode(executable), OFlags::empty())?;
            if file.metadata()?.len() > 0 {
                file.set_len(0)?;
            }
            Ok(file)
        };
        if self.leave == Leave::Open {
            return make(folder).map(drop);
        }
        let last = &mut self.last[usize::from(executable)];
        if let Some((made, empty)) = last {
            let (from, first) = made.from.parent(made.path.as_bytes())?;
            let link = || linkat(from, first, folder, name, AtFlags::empty());
            let linked = match link() {
                Err(Errno::EXIST) => {
                    unlinkat(folder, name, AtFlags::empty())?;
                    link()
                }
                linked => linked,
            };
            match linked {
                Ok(()) => {
                    empty.names += 1;
                    return Ok(());
                }
                // It has as many names as the file system allows, or may have one only.
                Err(Errno::MLINK | Errno::PERM | Errno::OPNOTSUPP) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        let file = make(folder)?;
        seal_file(&file, executable)?;
        let empty = Empty {
            file: FileNumber(fstat(&file)?.st_ino),
            names: 1,
        };
        let from = Nearby::new(root);
        let before = last.replace((Made { from, path }, empty));
        self.full.extend(before.map(|(_, empty)| empty));
        Ok(())
    }

    /// Returns the files that have more names than one.
    pub(super) fn finish(self) -> Vec<Empty> {
        let last = self.last.into_iter().flatten().map(|(_, empty)| empty);
        let all = self.full.into_iter().chain(last);
        all.filter(|empty| empty.names > 1).collect()
    }
}
