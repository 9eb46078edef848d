//! CDI files: how the owner's toolkit says what a GPU needs. Device nodes, mounts of libraries and programs, and
//! variables are taken; hooks are programs that would run as the agent, and are never run.
//!
//! A file that somebody else could have written, or that names what is no GPU's, is refused whole: without it the
//! GPU's own nodes are found by themselves.

mod spec;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use agent_core::sandbox_plan::GpuFiles;
use rustix::fs::{Mode, OFlags};

use self::spec::Spec;
use super::files::{Node, Places};

/// Files in one folder that are looked at, and the largest that is read.
const MAX_FILES: usize = 64;
const MAX_FILE_BYTES: u64 = 4 << 20;

/// What the CDI files of a machine say.
#[derive(Debug, Default)]
pub(super) struct Found {
    devices: BTreeMap<String, GpuFiles>,
    /// Why files are not used, one line each.
    pub(super) refused: Vec<String>,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is a link")]
    Link,
    #[error("it is no file")]
    NotAFile,
    #[error("it belongs to another user")]
    Owner,
    #[error("others may change it")]
    Writable,
    #[error("it is larger than {MAX_FILE_BYTES} bytes")]
    TooLarge,
    #[error("it cannot be read: {0}")]
    Syntax(String),
    #[error("it names {0}, which is no path")]
    Path(String),
    #[error("it names {0}, which is not a GPU's")]
    Place(String),
    #[error("it gives {0} to every job")]
    Everybodys(String),
    #[error("it names more than there can be")]
    TooMany,
}

impl Found {
    /// Returns the files of a GPU: by its identifier, or by its place in the driver's list where the node that
    /// goes with that place is indeed its own.
    pub(super) fn of(&self, node: &Node) -> Option<GpuFiles> {
        let index = node.index.to_string();
        let names = [node.uuid.clone(), format!("gpu{index}"), index];
        let own = node.device();
        let fits = |files: &&GpuFiles| {
            let mut gpus = files.nodes.keys().filter(|path| is_gpu(path));
            let one = gpus.next();
            one.is_some() && gpus.next().is_none() && (own.is_none() || one == own.as_ref())
        };
        let mut devices = names.iter().filter_map(|name| self.devices.get(name));
        devices.find(fits).cloned()
    }
}

/// Returns whether a path is the device node of one whole GPU.
fn is_gpu(path: &str) -> bool {
    path.strip_prefix("/dev/nvidia")
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Reads every CDI file in `folders`.
pub(super) fn read(folders: &[PathBuf], places: &Places) -> Found {
    let mut found = Found::default();
    for folder in folders {
        let Ok(entries) = std::fs::read_dir(folder) else {
            continue;
        };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|path| {
            path.extension()
                .is_some_and(|kind| kind == "json" || kind == "yaml")
        });
        files.sort();
        files.truncate(MAX_FILES);
        if files.is_empty() {
            continue;
        }
        if let Err(why) = check(folder, true) {
            found.refuse(folder, &why);
            continue;
        }
        for path in files {
            match load(&path).and_then(|spec| spec.devices(places)) {
                Ok(devices) => found.devices.extend(devices),
                Err(why) => found.refuse(&path, &why),
            }
        }
    }
    found
}

impl Found {
    fn refuse(&mut self, path: &Path, why: &Refused) {
        self.refused
            .push(format!("{} is not used: {why}", path.display()));
    }
}

/// Opens a file or folder that only root or this user can have written.
fn check(path: &Path, folder: bool) -> Result<File, Refused> {
    let kind = if folder {
        OFlags::DIRECTORY
    } else {
        // A pipe is not waited for.
        OFlags::NONBLOCK
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | kind;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::LOOP) => return Err(Refused::Link),
        Err(rustix::io::Errno::NOTDIR) if folder => return Err(Refused::Link),
        Err(error) => return Err(io::Error::from(error).into()),
    };
    let meta = file.metadata()?;
    if !(folder || meta.is_file()) {
        Err(Refused::NotAFile)
    } else if ![0, rustix::process::geteuid().as_raw()].contains(&meta.uid()) {
        Err(Refused::Owner)
    } else if meta.mode() & 0o022 != 0 {
        Err(Refused::Writable)
    } else {
        Ok(file)
    }
}

fn load(path: &Path) -> Result<Spec, Refused> {
    let file = check(path, false)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Refused::TooLarge);
    }
    let wrong = |error: &dyn std::error::Error| Refused::Syntax(error.to_string());
    if path.extension().is_some_and(|kind| kind == "json") {
        serde_json::from_slice(&bytes).map_err(|error| wrong(&error))
    } else {
        let text = std::str::from_utf8(&bytes).map_err(|error| wrong(&error))?;
        serde_saphyr::from_str(text).map_err(|error| wrong(&error))
    }
}

#[cfg(test)]
mod tests;
