//! The cache's folders on the disk: what is where, and what survives a crash.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use agent_core::cache_plan::{FileNumber, Item};
use common::{code::Code, id::TreeId, problem::Problem, time::Timestamp, tree::Tree, units::Bytes};
use link::{
    files::{create_private_dir, write_atomic},
    trees::{Manifest, io_problem, manifest::MAX_MANIFEST_BYTES},
};
use rustix::fs::syncfs;

use super::{description::Description, sealed, timestamp};
use crate::transfer::layout::Layout;

/// What a file's last block and its inode take at most, on common file systems.
const ENTRY_BYTES: u64 = 4096;
/// Longest name of a dataset with its version.
const MAX_NAME_BYTES: u64 = 1024;
/// What one more name of a file takes.
const LINK_BYTES: u64 = 64;
const MANIFEST_MODE: u32 = 0o600;
/// Changes with every start of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Memory for the description that was used last; a larger one is read again.
const MAX_LAST_BYTES: usize = 16 << 20;
/// Memory for an entry's name, about.
const NAME_BYTES: usize = 256;

#[derive(Debug)]
pub(super) struct Shelf {
    root: PathBuf,
    /// The description that was used last: while the next version of a tree is fetched, several want it.
    last: Mutex<Option<Manifest>>,
}

/// What an earlier process fetched.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) item: Item,
    /// Room that it takes, without its shared files.
    pub(super) alone: Bytes,
    /// Each once.
    pub(super) shared: Vec<(FileNumber, Bytes)>,
    pub(super) last_used: Timestamp,
    /// Whether all of it is there.
    pub(super) whole: bool,
    /// What people call it; empty where that is not known.
    pub(super) name: String,
}

impl Shelf {
    /// Opens the cache's folder. Returns the trees that are complete and as they were sealed, and those on their
    /// way whose transfer can go on; everything else is removed.
    pub(super) fn open(root: &Path) -> io::Result<(Self, Vec<Kept>)> {
        create_private_dir(root)?;
        let shelf = Self {
            root: root.to_owned(),
            last: Mutex::default(),
        };
        for part in ["trees", "manifests", "synced", "names", "images", "temps"] {
            create_private_dir(&root.join(part))?;
        }
        let boot = fs::read(BOOT_ID)?;
        let same_boot = fs::read(root.join("boot")).is_ok_and(|last| last == boot);
        let (mut found, mut unsynced) = (Vec::new(), Vec::new());
        for leftover in entries(&root.join("temps"))? {
            match id_of(&leftover) {
                Some(tree) => found.push(shelf.begun(tree)?),
                None => sealed::remove(&leftover)?,
            }
        }
        for folder in entries(&root.join("trees"))? {
            let tree = id_of(&folder);
            let whole = tree.and_then(|tree| {
                let synced = shelf.synced(tree).exists();
                // What was not synced is only sure to be whole while the machine has not stopped.
                let manifest = (synced || same_boot).then(|| shelf.read_manifest(tree).ok())??;
                let links = sealed::look(&folder, manifest.tree())?;
                unsynced.extend((!synced).then_some(tree));
                let used = fs::metadata(shelf.described(tree)).and_then(|file| file.modified());
                let used = timestamp(used.unwrap_or(SystemTime::UNIX_EPOCH));
                let (alone, shared) = room(manifest.tree(), links);
                Some(Kept {
                    item: Item::Tree(tree),
                    alone,
                    shared,
                    last_used: used,
                    whole: true,
                    name: shelf.name(tree),
                })
            });
            match whole {
                Some(whole) => found.push(whole),
                None => sealed::remove(&folder)?,
            }
        }
        for part in ["manifests", "synced", "names"] {
            for path in entries(&root.join(part))? {
                let known = id_of(&path).is_some_and(|id| {
                    found
                        .iter()
                        .any(|kept: &Kept| kept.whole && kept.item == Item::Tree(id))
                });
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

    fn named(&self, tree: TreeId) -> PathBuf {
        self.root.join("names").join(tree.to_string())
    }

    /// Returns what people call a tree; empty where that is not known.
    fn name(&self, tree: TreeId) -> String {
        let path = self.named(tree);
        let short = fs::metadata(&path).is_ok_and(|file| file.len() <= MAX_NAME_BYTES);
        let name = short.then(|| fs::read_to_string(path).ok()).flatten();
        name.unwrap_or_default()
    }

    /// Writes down what people call a tree. It is only for people, so that it may be lost.
    pub(super) fn call(&self, tree: TreeId, name: &str) {
        if let Err(error) = fs::write(self.named(tree), name) {
            tracing::warn!(%tree, %error, "a cached tree's name is not kept");
        }
    }

    /// Makes the folder that a tree is written into; what an earlier try left in it can be written to.
    pub(super) fn partial(&self, tree: TreeId) -> io::Result<PathBuf> {
        let path = self.partial_path(tree);
        create_private_dir(&path)?;
        sealed::unseal(&path)?;
        Ok(path)
    }

    /// Returns what there is of a tree whose transfer was broken off; it goes before anything else.
    pub(super) fn begun(&self, tree: TreeId) -> io::Result<Kept> {
        Ok(Kept {
            item: Item::Tree(tree),
            alone: on_disk(&self.partial_path(tree))?,
            shared: Vec::new(),
            last_used: timestamp(SystemTime::UNIX_EPOCH),
            whole: false,
            name: String::new(),
        })
    }

    fn partial_path(&self, tree: TreeId) -> PathBuf {
        self.root.join("temps").join(tree.to_string())
    }

    /// Returns a tree's description.
    pub(super) fn manifest(&self, tree: TreeId) -> Result<Manifest, Problem> {
        let last = self.last().clone();
        if let Some(last) = last.filter(|last| last.id() == tree) {
            return Ok(last);
        }
        let manifest = self.read_manifest(tree)?;
        self.remember(&manifest);
        Ok(manifest)
    }

    fn remember(&self, manifest: &Manifest) {
        // A chunk is in an entry and among the numbered ones.
        let chunks = 2 * size_of_val(manifest.chunks());
        let names = manifest.tree().entries().len() * NAME_BYTES;
        let fits = chunks + names <= MAX_LAST_BYTES;
        *self.last() = fits.then(|| manifest.clone());
    }

    /// Forgets a description that nobody is about to use.
    pub(super) fn forget(&self, tree: TreeId) {
        self.last().take_if(|last| last.id() == tree);
    }

    fn last(&self) -> MutexGuard<'_, Option<Manifest>> {
        // Either there is one or there is none.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a tree's description as it is on the disk.
    fn read_manifest(&self, tree: TreeId) -> Result<Manifest, Problem> {
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

    /// Begins a description of a tree that is about to come; `number` is nobody else's.
    pub(super) fn describe(&self, manifest: &Manifest, number: u64) -> Description {
        let path = self
            .root
            .join("temps")
            .join(format!("description-{number}"));
        Description::new(manifest.clone(), path)
    }

    /// Seals what was written and gives it its name.
    pub(super) fn complete(
        &self,
        description: &Description,
        layout: &Layout,
    ) -> Result<(), Problem> {
        let manifest = description.manifest();
        let tree = manifest.id();
        let failed = |error: io::Error| io_problem("the data cannot be cached", &error);
        let partial = self.partial_path(tree);
        sealed::seal(&partial, manifest.tree(), layout).map_err(failed)?;
        // Durable together with the content; see `Shelf::mark`.
        description.write()?;
        description.place(&self.described(tree)).map_err(failed)?;
        let content = self.content(tree);
        fs::rename(&partial, &content).map_err(failed)?;
        // A folder that moves must be writable, so the outermost one is sealed last.
        sealed::seal_outermost(&content).map_err(failed)?;
        self.remember(manifest);
        Ok(())
    }

    /// Sees to it that everything in the cache is on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(syncfs(File::open(&self.root)?)?)
    }

    /// Notes that a tree is on the disk.
    pub(super) fn mark(&self, tree: TreeId) -> io::Result<()> {
        File::create(self.synced(tree)).map(drop)
    }

    /// Returns how long a tree's description is; none is short.
    pub(super) fn description_bytes(&self, tree: TreeId) -> u64 {
        fs::metadata(self.described(tree)).map_or(0, |file| file.len())
    }

    /// Notes that a tree is used now.
    pub(super) fn note_use(&self, tree: TreeId) {
        let used =
            File::open(self.described(tree)).and_then(|file| file.set_modified(SystemTime::now()));
        if let Err(error) = used {
            tracing::warn!(%tree, %error, "a cached tree's use is not noted");
        }
    }

    /// Returns whether a tree's content is as it was sealed, all of it.
    pub(super) fn is_intact(&self, tree: TreeId) -> bool {
        self.read_manifest(tree)
            .is_ok_and(|manifest| sealed::look(&self.content(tree), manifest.tree()).is_some())
    }

    /// Takes the name away of a tree on its way. Returns the folder, to be removed.
    pub(super) fn take_out_partial(&self, tree: TreeId, number: u64) -> io::Result<PathBuf> {
        let gone = self.root.join("temps").join(format!("evicted-{number}"));
        fs::rename(self.partial_path(tree), &gone)?;
        Ok(gone)
    }

    /// Takes a tree's name away. Returns the folder, to be removed.
    pub(super) fn take_out(&self, tree: TreeId, number: u64) -> io::Result<PathBuf> {
        self.forget(tree);
        let gone = self.root.join("temps").join(format!("evicted-{number}"));
        let content = self.content(tree);
        sealed::open_outermost(&content)?;
        fs::rename(&content, &gone)?;
        for path in [self.described(tree), self.synced(tree), self.named(tree)] {
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

/// Returns the room that a file of this many bytes takes whichever trees have it.
pub(super) fn file_room(bytes: Bytes) -> Bytes {
    Bytes(bytes.0.saturating_add(ENTRY_BYTES - LINK_BYTES))
}

/// Returns the room that a tree takes without the files that have more names than one, and those with theirs.
pub(super) fn room(
    tree: &Tree,
    mut links: Vec<(FileNumber, Bytes)>,
) -> (Bytes, Vec<(FileNumber, Bytes)>) {
    let linked: u64 = links.iter().map(|(_, bytes)| file_room(*bytes).0).sum();
    let alone = Bytes(footprint(tree).0.saturating_sub(linked));
    links.sort_unstable();
    links.dedup();
    for (_, bytes) in &mut links {
        *bytes = file_room(*bytes);
    }
    (alone, links)
}

/// Returns the room that a folder takes as it is, a file that has other names too not counted.
fn on_disk(folder: &Path) -> io::Result<Bytes> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        if about.is_dir() {
            bytes += on_disk(&entry.path())?.0;
        } else if about.nlink() == 1 {
            bytes += about.blocks() * 512;
        }
        bytes += ENTRY_BYTES;
    }
    Ok(Bytes(bytes))
}

pub(super) fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect()
}

fn id_of(path: &Path) -> Option<TreeId> {
    path.file_name()?.to_str()?.parse().ok()
}
