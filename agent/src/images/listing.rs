//! An unpacked image as the root of a sandbox: what stands in the folders that the sandbox shares with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::OwnedFd,
    path::Path,
};

use agent_core::sandbox_plan::{ImageRoot, TopEntry};
use common::problem::Problem;
use link::trees::io_problem;
use rustix::{
    fs::{AtFlags, Dir, FileType, readlinkat, statat},
    io::Errno,
};

use super::{
    bad_image,
    beneath::{open_folder, open_root},
};

/// Most entries of all these folders together: each is a mount of its own.
const MAX_SHARED_ENTRIES: usize = 3000;

/// Returns the root that is made of the files in `folder`. `shared` are folders that something else is put
/// into; one that is a link in the image is not there for the sandbox. Blocks.
pub fn image_root(
    folder: &Path,
    env: BTreeMap<String, String>,
    shared: &BTreeSet<String>,
) -> Result<ImageRoot, Problem> {
    let failed = |error: io::Error| io_problem("the image's files cannot be read", &error);
    let root = open_root(folder).map_err(failed)?;
    let mut folders = BTreeMap::new();
    let mut count = 0;
    for path in shared {
        let opened = open_folder(&root, path.trim_start_matches('/').as_bytes());
        let opened = match opened {
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => continue,
            opened => opened.map_err(|errno| failed(errno.into()))?,
        };
        let entries = list(&opened).map_err(failed)?;
        count += entries.len();
        if count > MAX_SHARED_ENTRIES {
            return Err(bad_image(format!(
                "its folder {path} holds too many files to put others beside them"
            )));
        }
        folders.insert(path.clone(), entries);
    }
    Ok(ImageRoot {
        folder: folder.to_owned(),
        folders,
        env,
    })
}

/// Returns what stands in a folder. What no plan can name (no UTF-8) is left out.
fn list(folder: &OwnedFd) -> io::Result<BTreeMap<String, TopEntry>> {
    let mut entries = BTreeMap::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if [c".", c".."].contains(&name) {
            continue;
        }
        if entries.len() > MAX_SHARED_ENTRIES {
            break;
        }
        let Ok(text) = name.to_str() else { continue };
        let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => TopEntry::Folder,
            FileType::RegularFile => TopEntry::File,
            FileType::Symlink => match readlinkat(folder, name, Vec::new())?.into_string() {
                Ok(target) => TopEntry::Link(target),
                Err(_) => continue,
            },
            _ => continue,
        };
        entries.insert(text.to_owned(), kind);
    }
    Ok(entries)
}
