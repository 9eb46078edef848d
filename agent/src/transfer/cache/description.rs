//! A tree's description on its way to the shelf: written beside the transfer, under a name of no meaning.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use common::{code::Code, problem::Problem};
use link::trees::{Manifest, io_problem};

/// A file that goes with this, unless it was placed.
#[derive(Debug)]
pub(super) struct Description {
    manifest: Manifest,
    path: PathBuf,
    written: OnceLock<Result<(), Problem>>,
}

impl Description {
    /// Nothing is written yet. `path` is free.
    pub(super) const fn new(manifest: Manifest, path: PathBuf) -> Self {
        Self {
            manifest,
            path,
            written: OnceLock::new(),
        }
    }

    pub(super) const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Sees to it that it is written; whoever comes while somebody else does it waits for them. Blocks.
    pub(super) fn write(&self) -> Result<(), Problem> {
        let write = || {
            let what = "the data cannot be cached";
            let bytes = self.manifest.encode();
            let bytes =
                bytes.map_err(|error| Problem::new(Code::Internal, what, error.to_string()))?;
            fs::write(&self.path, bytes).map_err(|error| io_problem(what, &error))
        };
        self.written.get_or_init(write).clone()
    }

    /// Gives what was written its name.
    pub(super) fn place(&self, at: &Path) -> io::Result<()> {
        fs::rename(&self.path, at)
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        if self.written.get().is_none() {
            return;
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(file = %self.path.display(), %error, "what is left of a transfer cannot be removed");
            }
            // It is gone if it was placed.
            _ => {}
        }
    }
}
