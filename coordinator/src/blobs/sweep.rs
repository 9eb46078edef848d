//! Taking away what no row names any more: first a tree loses its name, then those of its chunks go that no other tree
//! has, and last what it was.
//!
//! A tree that is to go waits in `doomed/`, so that a restart goes on with it. Chunks go in small steps, between which
//! uploads begin and end; what is held (see [`super::holds`]) stays.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

use common::id::{ChunkId, TreeId};
use link::trees::{Manifest, manifest::MAX_MANIFEST_BYTES};
use tokio::sync::{RwLockReadGuard, RwLockWriteGuard};

use super::{Store, sync_folder};

/// Chunks that go in one step, during which no upload begins or ends.
const STEP: usize = 64;
/// Once trees with so many chunks are to go, they go before more are looked at: about 50 MiB of memory.
const MOST_GOING: usize = 1 << 20;

impl Store {
    /// Returns a guard while which no tree loses its name: held from the look whether a tree is here to the commit that
    /// names it.
    pub(crate) async fn named(&self) -> RwLockReadGuard<'_, ()> {
        self.0.naming.read().await
    }

    /// Returns the guard while which nobody names a tree, for [`Store::doom`].
    pub(crate) async fn unnamed(&self) -> RwLockWriteGuard<'_, ()> {
        self.0.naming.write().await
    }

    /// Takes the names of these trees away, and returns those that keep theirs because they are held. Called while
    /// [`Store::unnamed`] is held, and not while [`Store::sweep`] is busy.
    ///
    /// # Errors
    /// The folder cannot be written; some may have lost theirs.
    pub(crate) fn doom(&self, trees: &[TreeId]) -> io::Result<Vec<TreeId>> {
        let mut held = Vec::new();
        for tree in trees {
            let mut holds = self.holds();
            if holds.has(*tree, Instant::now()) {
                held.push(*tree);
                continue;
            }
            there(fs::rename(self.tree_path(*tree), self.doomed_path(*tree)))?;
            there(fs::remove_file(self.damaged_path(*tree)))?;
        }
        Ok(held)
    }

    /// Deletes what the trees that have lost their names had alone.
    ///
    /// # Errors
    /// A folder cannot be read or written; the next call goes on.
    pub(crate) fn sweep(&self) -> io::Result<()> {
        let entries = fs::read_dir(self.folder("doomed"))?;
        let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
        let mut doomed = paths?;
        if doomed.is_empty() {
            return Ok(());
        }
        // A crash must not give a tree its name back once chunks of it are gone.
        sync_folder(&self.folder("doomed"))?;
        sync_folder(&self.folder("trees"))?;
        while !doomed.is_empty() {
            self.sweep_some(&mut doomed)?;
        }
        Ok(())
    }

    /// Deals with some of the doomed trees, and takes them off the list.
    fn sweep_some(&self, doomed: &mut Vec<PathBuf>) -> io::Result<()> {
        let mut chunks = HashSet::new();
        let mut dealt = Vec::new();
        while chunks.len() < MOST_GOING
            && let Some(path) = doomed.pop()
        {
            match describe(&path)? {
                Some(manifest) => chunks.extend(manifest.chunks().iter().map(|chunk| chunk.id)),
                None => tracing::error!(path = %path.display(), "a tree that goes is damaged"),
            }
            dealt.push(path);
        }
        self.holds().begin(chunks);
        let swept = self.take_alone();
        let spared = self.holds().end();
        swept?;
        for path in dealt {
            if !needs_another_sweep(&path, &spared)? {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Deletes those of the chunks that go which no tree has.
    fn take_alone(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.folder("trees"))? {
            let path = entry?.path();
            match describe(&path)? {
                Some(manifest) => {
                    if !self.holds().strike(&manifest) {
                        return Ok(());
                    }
                }
                None => self.set_tree_aside(&path)?,
            }
        }
        loop {
            let mut holds = self.holds();
            let step = holds.take(STEP);
            if step.is_empty() {
                return Ok(());
            }
            for id in step {
                there(fs::remove_file(self.chunk_path(id)))?;
            }
        }
    }

    /// Puts a description away that says nothing any more: nobody can read its tree, and it must not keep everything
    /// else here for good. The next upload of the tree makes it whole.
    fn set_tree_aside(&self, path: &Path) -> io::Result<()> {
        let Some(name) = path.file_name() else {
            return Ok(());
        };
        let to = self.folder("damaged").join(name);
        tracing::error!(tree = %name.display(), to = %to.display(), "a stored tree is damaged and was set aside");
        there(fs::rename(path, to))
    }

    fn doomed_path(&self, tree: TreeId) -> PathBuf {
        self.folder("doomed").join(tree.to_string())
    }
}

/// Returns a description; `None` for one that says nothing.
fn describe(path: &Path) -> io::Result<Option<Manifest>> {
    if fs::metadata(path)?.len() > MAX_MANIFEST_BYTES {
        return Ok(None);
    }
    Ok(Manifest::decode(&fs::read(path)?).ok())
}

/// Returns whether a tree has chunks that were held: whoever held them may have gone without a tree.
fn needs_another_sweep(path: &Path, spared: &HashSet<ChunkId>) -> io::Result<bool> {
    if spared.is_empty() {
        return Ok(false);
    }
    let manifest = describe(path)?;
    let mut chunks = manifest.iter().flat_map(|manifest| manifest.chunks());
    Ok(chunks.any(|chunk| spared.contains(&chunk.id)))
}

/// What is not there need not go.
fn there(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
