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

    /// Sees to it that nothing of it is left, and that nobody writes it any more. Blocks while somebody does.
    pub(super) fn give_up(&self) {
        let given_up = || {
            let (what, why) = ("the data cannot be cached", "its transfer was given up");
            Err(Problem::new(Code::Cancelled, what, why))
        };
        let _whatever_came_of_it = self.written.get_or_init(given_up);
        self.remove();
    }

    fn remove(&self) {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(file = %self.path.display(), %error, "what is left of a transfer cannot be removed");
            }
            // It is gone if it was placed.
            _ => {}
        }
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        // Whoever waited for the tree may have gone away.
        if self.written.get().is_some() {
            self.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use common::tree::Tree;

    use super::*;

    #[test]
    fn it_goes_unless_it_was_placed_and_a_failure_is_told_to_all() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = Manifest::new(Tree::new(Vec::new()).unwrap()).unwrap();
        let describe = |name: &str| {
            let path = folder.path().join(name);
            (Description::new(manifest.clone(), path.clone()), path)
        };
        let (description, path) = describe("given up");
        description.write().unwrap();
        assert!(path.exists());
        drop(description);
        assert!(!path.exists());

        let (description, path) = describe("placed");
        description.write().unwrap();
        // Once is enough.
        fs::write(&path, "the same").unwrap();
        description.write().unwrap();
        let place = folder.path().join("place");
        description.place(&place).unwrap();
        drop(description);
        assert_eq!(fs::read(&place).unwrap(), b"the same");

        for is_written in [false, true] {
            let (description, path) = describe("nobody waits");
            if is_written {
                description.write().unwrap();
            }
            description.give_up();
            assert!(!path.exists());
            if !is_written {
                description.write().unwrap_err();
                assert!(!path.exists());
            }
        }

        // Not even begun: what stands there is somebody else's.
        let (description, path) = describe("another's");
        fs::write(&path, "").unwrap();
        drop(description);
        assert!(path.exists());

        let (description, _) = describe("missing/folder");
        description.write().unwrap_err();
        description.write().unwrap_err();
    }
}
