//! Taking away what no row names any more: first a tree loses its name, then those of its chunks go that no other tree
//! has, and last what it was.
//!
//! A tree that is to go waits in `doomed/`, so that a restart goes on with it. Chunks go in small steps, between which
//! trees can be saved; what is saved while chunks go keeps its own.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::PoisonError,
};

use common::id::{ChunkId, TreeId};
use common::tree::ChunkRef;
use link::trees::Manifest;
use tokio::sync::{RwLockReadGuard, RwLockWriteGuard};

use super::Store;

/// Chunks that go in one step, during which no tree is saved.
const STEP: usize = 256;

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

    /// Takes the names of these trees away. Called while [`Store::unnamed`] is held.
    ///
    /// # Errors
    /// The folder cannot be written; some may have lost theirs.
    pub(crate) fn doom(&self, trees: &[TreeId]) -> io::Result<()> {
        for tree in trees {
            let doomed = self.doomed().join(tree.to_string());
            match fs::rename(self.tree_path(*tree), doomed) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Deletes what the trees that have lost their names had alone.
    ///
    /// # Errors
    /// A folder cannot be read or written; the next call goes on.
    pub(crate) fn sweep(&self) -> io::Result<()> {
        let doomed = manifests(&self.doomed())?;
        if doomed.is_empty() {
            return Ok(());
        }
        *self.watch() = Some(HashSet::new());
        let swept = self.sweep_chunks(&doomed);
        *self.watch() = None;
        swept?;
        doomed
            .iter()
            .try_for_each(|(path, _)| fs::remove_file(path))
    }

    fn sweep_chunks(&self, doomed: &[(PathBuf, Option<Manifest>)]) -> io::Result<()> {
        let mut live = HashSet::new();
        for (path, manifest) in manifests(&self.0.root.join("trees"))? {
            let Some(manifest) = manifest else {
                let why = format!("{} is damaged: what it needs is not known", path.display());
                return Err(io::Error::other(why));
            };
            live.extend(manifest.chunks().iter().map(|chunk| chunk.id));
        }
        let chunks = doomed.iter().filter_map(|(_, manifest)| manifest.as_ref());
        let chunks = chunks.flat_map(|manifest| manifest.chunks().iter());
        let alone: Vec<&ChunkRef> = chunks.filter(|chunk| !live.contains(&chunk.id)).collect();
        for step in alone.chunks(STEP) {
            let _nothing_is_saved = self
                .0
                .saving
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            let watch = self.watch();
            let saved = |id: &ChunkId| watch.as_ref().is_some_and(|saved| saved.contains(id));
            for chunk in step.iter().filter(|chunk| !saved(&chunk.id)) {
                match fs::remove_file(self.chunk_path(chunk)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Notes a tree that is saved while chunks go. Called while nothing goes.
    pub(super) fn note_saved(&self, manifest: &Manifest) {
        if let Some(saved) = self.watch().as_mut() {
            saved.extend(manifest.chunks().iter().map(|chunk| chunk.id));
        }
    }

    fn doomed(&self) -> PathBuf {
        self.0.root.join("doomed")
    }

    fn watch(&self) -> std::sync::MutexGuard<'_, Option<HashSet<ChunkId>>> {
        self.0.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns every description in a folder; `None` for one that cannot be read as one.
fn manifests(folder: &Path) -> io::Result<Vec<(PathBuf, Option<Manifest>)>> {
    let mut manifests = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let manifest = Manifest::decode(&fs::read(&path)?).ok();
        manifests.push((path, manifest));
    }
    Ok(manifests)
}
