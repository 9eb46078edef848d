//! The cache's folders on the disk: what is where, and what survives a crash.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use agent_core::cache_plan::Item;
use common::{code::Code, id::TreeId, problem::Problem, time::Timestamp, tree::Tree, units::Bytes};
use link::{
    files::{create_private_dir, write_atomic},
    trees::{Manifest, io_problem, manifest::MAX_MANIFEST_BYTES},
};
use rustix::fs::syncfs;

use super::{sealed, timestamp};

/// What a file's last block and its inode take at most, on common file systems.
const ENTRY_BYTES: u64 = 4096;
const MANIFEST_MODE: u32 = 0o600;
/// Changes with every start of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

#[derive(Debug)]
pub(super) struct Shelf {
    root: PathBuf,
}

/// What an earlier process fetched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    pub(super) item: Item,
    pub(super) bytes: Bytes,
    pub(super) last_used: Timestamp,
}

impl Shelf {
    /// Opens the cache's folder. Returns the complete trees with their size and last use; what is not
    /// complete is removed.
    pub(super) fn open(root: &Path) -> io::Result<(Self, Vec<Kept>)> {
        create_private_dir(root)?;
        let shelf = Self {
            root: root.to_owned(),
        };
        for part in ["trees", "manifests", "synced", "images", "temps"] {
            create_private_dir(&root.join(part))?;
        }
        for leftover in entries(&root.join("temps"))? {
            sealed::remove(&leftover)?;
        }
        let boot = fs::read(BOOT_ID)?;
        let same_boot = fs::read(root.join("boot")).is_ok_and(|last| last == boot);
        let (mut found, mut unsynced) = (Vec::new(), Vec::new());
        for folder in entries(&root.join("trees"))? {
            let tree = id_of(&folder);
            let whole = tree.and_then(|tree| {
                let synced = shelf.synced(tree).exists();
                // What was not synced is only sure to be whole while the machine has not stopped.
                let manifest = (synced || same_boot).then(|| shelf.manifest(tree).ok())??;
                unsynced.extend((!synced).then_some(tree));
                let used = fs::metadata(shelf.described(tree)).and_then(|file| file.modified());
                let used = timestamp(used.unwrap_or(SystemTime::UNIX_EPOCH));
                let bytes = footprint(manifest.tree());
                Some(Kept {
                    item: Item::Tree(tree),
                    bytes,
                    last_used: used,
                })
            });
            match whole {
                Some(whole) => found.push(whole),
                None => sealed::remove(&folder)?,
            }
        }
        for part in ["manifests", "synced"] {
            for path in entries(&root.join(part))? {
                let known = id_of(&path)
                    .is_some_and(|id| found.iter().any(|kept: &Kept| kept.item == Item::Tree(id)));
                if !known {
                    sealed::remove(&path)?;
                }
            }
        }
        if !unsynced.is_empty() {
            shelf.sync()?;
            unsynced.into_iter().try_for_each(|tree| shelf.mark(tree))?;
        }
        found.extend(shelf.whole_images()?);
        write_atomic(&root.join("boot"), &boot, MANIFEST_MODE)?;
        Ok((shelf, found))
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns where a tree's content stands.
    pub(super) fn content(&self, tree: TreeId) -> PathBuf {
        self.root.join("trees").join(tree.to_string())
    }

    fn described(&self, tree: TreeId) -> PathBuf {
        self.root.join("manifests").join(tree.to_string())
    }

    fn synced(&self, tree: TreeId) -> PathBuf {
        self.root.join("synced").join(tree.to_string())
    }

    /// Makes the folder that a tree is written into.
    pub(super) fn partial(&self, tree: TreeId) -> io::Result<PathBuf> {
        let path = self.partial_path(tree);
        create_private_dir(&path)?;
        Ok(path)
    }

    fn partial_path(&self, tree: TreeId) -> PathBuf {
        self.root.join("temps").join(tree.to_string())
    }

    pub(super) fn manifest(&self, tree: TreeId) -> Result<Manifest, Problem> {
        let what = format!("tree {tree} cannot be used");
        let path = self.described(tree);
        let size = fs::metadata(&path)
            .map_err(|error| io_problem(what.clone(), &error))?
            .len();
        let bytes = match size {
            0..=MAX_MANIFEST_BYTES => fs::read(&path),
            _ => Err(io::Error::other("its description is too long")),
        };
        let bytes = bytes.map_err(|error| io_problem(what.clone(), &error))?;
        match Manifest::decode(&bytes) {
            Ok(manifest) if manifest.id() == tree => Ok(manifest),
            Ok(_) => Err(Problem::new(Code::Checksum, what, "it is another tree now")),
            Err(error) => Err(Problem::new(Code::Checksum, what, error.to_string())),
        }
    }

    /// Seals what was written and gives it its name.
    pub(super) fn complete(&self, manifest: &Manifest) -> Result<(), Problem> {
        let tree = manifest.id();
        let failed = |error: io::Error| io_problem("the data cannot be cached", &error);
        let bytes = manifest.encode().map_err(|error| {
            Problem::new(
                Code::Internal,
                "the data cannot be cached",
                error.to_string(),
            )
        })?;
        let partial = self.partial_path(tree);
        sealed::seal(&partial, manifest.tree()).map_err(failed)?;
        // Durable together with the content; see `Shelf::mark`.
        fs::write(self.described(tree), &bytes).map_err(failed)?;
        let content = self.content(tree);
        fs::rename(&partial, &content).map_err(failed)?;
        // A folder that moves must be writable, so the outermost one is sealed last.
        sealed::seal_outermost(&content).map_err(failed)
    }

    /// Sees to it that everything in the cache is on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(syncfs(File::open(&self.root)?)?)
    }

    /// Notes that a tree is on the disk.
    pub(super) fn mark(&self, tree: TreeId) -> io::Result<()> {
        File::create(self.synced(tree)).map(drop)
    }

    /// Returns the trees that transfers were begun for.
    pub(super) fn partials(&self) -> io::Result<Vec<(TreeId, PathBuf)>> {
        let all = entries(&self.root.join("temps"))?.into_iter();
        Ok(all.filter_map(|path| Some((id_of(&path)?, path))).collect())
    }

    /// Returns whether a tree's content is as it was sealed; notes that it was used.
    pub(super) fn is_intact(&self, tree: TreeId) -> bool {
        let used =
            File::open(self.described(tree)).and_then(|file| file.set_modified(SystemTime::now()));
        if let Err(error) = used {
            tracing::warn!(%tree, %error, "a cached tree's use is not noted");
        }
        self.manifest(tree)
            .is_ok_and(|manifest| sealed::is_intact(&self.content(tree), manifest.tree()))
    }

    /// Takes a tree's name away. Returns the folder, to be removed.
    pub(super) fn take_out(&self, tree: TreeId, number: u64) -> io::Result<PathBuf> {
        let gone = self.root.join("temps").join(format!("evicted-{number}"));
        let content = self.content(tree);
        sealed::open_outermost(&content)?;
        fs::rename(&content, &gone)?;
        for path in [self.described(tree), self.synced(tree)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(gone)
    }
}

/// Returns the room that a tree takes on the disk, rounded up.
pub(super) fn footprint(tree: &Tree) -> Bytes {
    let entries = tree.entries().len() as u64;
    Bytes(
        tree.bytes()
            .0
            .saturating_add(entries.saturating_mul(ENTRY_BYTES)),
    )
}

pub(super) fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect()
}

fn id_of(path: &Path) -> Option<TreeId> {
    path.file_name()?.to_str()?.parse().ok()
}
