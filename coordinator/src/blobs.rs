//! Content-addressed bytes: the chunks and trees of datasets, work folders and artifacts.
//!
//! A folder of its own beside the book: `chunks/ab/<id>` holds a chunk's bytes, `trees/<id>` a tree's
//! description, `temps/` what is being written, `doomed/` the descriptions of trees that go, `damaged/` those that say
//! nothing any more. Whatever has its final name is complete; a tree has its name only after every chunk of it is on
//! the disk. It does not know who may see a tree: the doors ask the state
//! before they call.

mod chunks;
mod holds;
mod serve;
mod sweep;

pub use self::serve::{serve_download, serve_upload};

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
};

use common::{
    code::Code,
    id::{ChunkId, TreeId},
    problem::Problem,
    units::Bytes,
};
use link::trees::{Manifest, io_problem, manifest::MAX_MANIFEST_BYTES};

use self::holds::Holds;

/// Most damaged trees that are named.
const MAX_DAMAGED_NAMED: usize = 1000;

/// The coordinator's bytes. Cheap to clone.
///
/// All methods block on files; call them where that is allowed.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    /// Open for `syncfs`.
    folder: File,
    /// Chunks that have their name but may not have reached the disk.
    unsynced: Mutex<HashSet<ChunkId>>,
    next_temp: AtomicU64,
    /// Written while trees lose their names, see [`Store::named`].
    naming: tokio::sync::RwLock<()>,
    holds: Mutex<Holds>,
}

impl Store {
    /// Opens the store in `folder`, which is made if needed, and clears what an earlier process left half
    /// written. The caller sees to it that no other process uses the folder.
    ///
    /// # Errors
    /// The folder cannot be made, read or synced.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError { path, source }
        };
        for part in ["chunks", "trees", "temps", "doomed", "damaged"] {
            let path = folder.join(part);
            fs::create_dir_all(&path).map_err(failed(&path))?;
        }
        let temps = folder.join("temps");
        for entry in fs::read_dir(&temps).map_err(failed(&temps))? {
            let path = entry.map_err(failed(&temps))?.path();
            fs::remove_file(&path).map_err(failed(&path))?;
        }
        let handle = File::open(folder).map_err(failed(folder))?;
        // A process that was killed may have left chunks that are named but only in memory.
        rustix::fs::syncfs(&handle).map_err(|errno| failed(folder)(errno.into()))?;
        Ok(Self(Arc::new(Inner {
            root: folder.to_owned(),
            folder: handle,
            unsynced: Mutex::default(),
            next_temp: AtomicU64::new(0),
            naming: tokio::sync::RwLock::default(),
            holds: Mutex::default(),
        })))
    }

    /// Returns whether the tree is stored as a whole.
    pub fn has_tree(&self, tree: TreeId) -> bool {
        self.tree_path(tree).is_file()
    }

    /// Returns a stored tree.
    ///
    /// # Errors
    /// `not_found`; `checksum_mismatch` if what is stored was damaged.
    pub fn load_tree(&self, tree: TreeId) -> Result<Manifest, Problem> {
        let what = format!("tree {tree} cannot be read");
        let damaged = |why: String| {
            tracing::error!(%tree, why, "a stored tree is damaged");
            Problem::new(Code::Checksum, format!("tree {tree} cannot be read"), why)
        };
        let path = self.tree_path(tree);
        let size = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if self.damaged_path(tree).is_file() {
                    return Err(damaged("its description was set aside".to_owned()));
                }
                return Err(Problem::new(Code::NotFound, what, "it is not stored here"));
            }
            Err(error) => return Err(io_problem(what, &error)),
        };
        if size > MAX_MANIFEST_BYTES {
            return Err(damaged(format!("its description has {size} bytes")));
        }
        let bytes = fs::read(&path).map_err(|error| io_problem(what, &error))?;
        let manifest = Manifest::decode(&bytes).map_err(|error| damaged(error.to_string()))?;
        if manifest.id() != tree {
            return Err(damaged(format!("it is tree {} now", manifest.id())));
        }
        Ok(manifest)
    }

    /// Returns the size and the number of files of a stored tree.
    ///
    /// # Errors
    /// As [`Self::load_tree`].
    pub fn size(&self, tree: TreeId) -> Result<(Bytes, u64), Problem> {
        let manifest = self.load_tree(tree)?;
        Ok((manifest.tree().bytes(), manifest.tree().file_count()))
    }

    /// Makes a tree, all of whose chunks were put, durable.
    ///
    /// # Errors
    /// `bad_request` if a chunk is missing, `disk_full`, `io_error`. Nothing is stored then.
    pub fn save_tree(&self, manifest: &Manifest) -> Result<TreeId, Problem> {
        let id = manifest.id();
        let _no_chunk_goes = self.hold(manifest);
        if let Some(chunk) = manifest.chunks().iter().find(|chunk| !self.has(chunk)) {
            let why = format!("its piece {} was not sent", chunk.id);
            return Err(Problem::new(
                Code::BadRequest,
                "the data was not stored",
                why,
            ));
        }
        let failed = |error| io_problem("the data was not stored", &error);
        self.sync_chunks(manifest.chunks()).map_err(failed)?;
        if self.has_tree(id) {
            return Ok(id);
        }
        let bytes = manifest.encode().map_err(|error| {
            Problem::new(Code::Internal, "the data was not stored", error.to_string())
        })?;
        let temp = self.write_temp(&bytes).map_err(failed)?;
        temp.file.sync_all().map_err(failed)?;
        temp.rename(&self.tree_path(id)).map_err(failed)?;
        sync_folder(&self.folder("trees")).map_err(failed)?;
        // What was damaged is whole again. Where it was not, there is nothing to remove.
        let _ = fs::remove_file(self.damaged_path(id));
        Ok(id)
    }

    fn tree_path(&self, tree: TreeId) -> PathBuf {
        self.folder("trees").join(tree.to_string())
    }

    fn damaged_path(&self, tree: TreeId) -> PathBuf {
        self.folder("damaged").join(tree.to_string())
    }

    fn folder(&self, part: &str) -> PathBuf {
        self.0.root.join(part)
    }

    fn unsynced(&self) -> std::sync::MutexGuard<'_, HashSet<ChunkId>> {
        // The set is whole whatever a thread that held it did.
        self.0
            .unsynced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the names of the trees in this folder that say nothing any more, without opening it.
///
/// # Errors
/// The folder is there and cannot be read.
pub(crate) fn damaged(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder.join("damaged")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.take(MAX_DAMAGED_NAMED).collect()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

impl From<OpenError> for Problem {
    fn from(error: OpenError) -> Self {
        let what = format!("the data folder {} cannot be used", error.path.display());
        io_problem(what, &error.source)
    }
}

/// The folder of the store cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be used", path.display())]
pub struct OpenError {
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
}

#[cfg(test)]
mod tests;
