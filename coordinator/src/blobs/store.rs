//! The store of one org: its trees and their pieces, for whoever reads.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
    time::Instant,
};

use common::{
    code::Code,
    id::{OrgId, TreeId},
    problem::Problem,
    units::Bytes,
};
use link::trees::{Manifest, io_problem, manifest::MAX_MANIFEST_BYTES};

use super::{
    Limits, Shared,
    apart::Turns,
    depot::{Depot, Homes},
    error::BlobError,
    holds::Holds,
    home::Home,
    incoming::Incoming,
    index::{Change, Index, TreeRow, View},
    journal::{Journal, Snapshot},
    manifests::Manifests,
    packs::Packs,
    recover, sync_folder,
};
use crate::clock::Clock;

/// Kept free beside what is stored, so that the book, on the same disk, can still be written.
const KEEP_FREE: Bytes = Bytes::mib(64);
/// No more than this part of a small disk is kept free.
const KEEP_FREE_PART: u64 = 20;

pub(super) const UNREADABLE: &str = "stored data cannot be read";

/// What one org has stored. Cheap to clone.
///
/// All methods block on files; call them where that is allowed.
#[derive(Debug, Clone)]
pub(crate) struct Store(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) org: OrgId,
    pub(super) root: PathBuf,
    pub(super) limits: Limits,
    pub(super) clock: Arc<Clock>,
    pub(super) index: Index,
    pub(super) packs: Packs,
    pub(super) journal: Journal,
    pub(super) holds: Holds,
    pub(super) manifests: Arc<Manifests>,
    pub(super) homes: Arc<dyn Homes>,
    pub(super) turns: Turns,
    home: Mutex<Home>,
    /// Why the last step of a move failed.
    held_up: Mutex<Option<Problem>>,
    /// Held by whoever puts packs into the bucket, or clears up there. Taken before `home`, and that before `committing`.
    shipping: Mutex<()>,
    /// Held by whoever changes the index: what a change was made from stays so until it is committed.
    committing: Mutex<()>,
    /// Held by a collection, and by a move: two would tell chunks twice that a tree has gone. Taken before all others.
    collecting: Mutex<()>,
}

impl Store {
    /// Opens the store in `folder`, which is made if needed, and finishes what an earlier process left half done.
    pub(super) fn open(org: OrgId, folder: &Path, shared: &Shared) -> Result<Self, BlobError> {
        for part in ["packs", "trees", "temps", "damaged"] {
            fs::create_dir_all(folder.join(part))?;
        }
        sync_folder(folder)?;
        sync_folder(&shared.root)?;
        let homes = Arc::clone(&shared.homes);
        let noted = Home::read(folder)?;
        let mut home = noted.unwrap_or_else(|| Home::new(homes.place(org)));
        let depot = home.enter(org, &homes)?.map(Arc::new);
        let recovered = recover::recover(folder, shared.limits, depot, minute(&shared.clock))?;
        if home.bucket.is_some() {
            home.write(folder)?;
        }
        recovered.journal.set_ships(!home.storage.is_local());
        Ok(Self(Arc::new(Inner {
            org,
            root: folder.to_owned(),
            limits: shared.limits,
            clock: Arc::clone(&shared.clock),
            index: recovered.index,
            packs: recovered.packs,
            journal: recovered.journal,
            holds: Holds::default(),
            manifests: Arc::clone(&shared.manifests),
            homes,
            turns: Turns::new()?,
            home: Mutex::new(home),
            held_up: Mutex::default(),
            shipping: Mutex::default(),
            committing: Mutex::default(),
            collecting: Mutex::default(),
        })))
    }

    /// Begins an upload.
    pub(crate) fn begin(&self) -> Incoming {
        Incoming::new(self.clone())
    }

    /// Returns whether the tree is stored as a whole.
    ///
    /// # Errors
    /// The index cannot be read.
    pub(crate) fn has_tree(&self, tree: TreeId) -> Result<bool, Problem> {
        let row = self.0.view().and_then(|view| view.tree(tree));
        let row = row.map_err(|error| error.problem(UNREADABLE))?;
        Ok(row.is_some_and(|row| !row.damaged))
    }

    /// Returns the size and the number of files of a stored tree.
    ///
    /// # Errors
    /// `not_found`; `checksum_mismatch` if what is stored was damaged.
    pub(crate) fn size(&self, tree: TreeId) -> Result<(Bytes, u64), Problem> {
        let row = self.tree_row(tree)?;
        Ok((row.bytes, row.files))
    }

    /// Returns a stored tree.
    ///
    /// # Errors
    /// `not_found`; `checksum_mismatch` if what is stored was damaged.
    pub(crate) fn load_tree(&self, tree: TreeId) -> Result<Manifest, Problem> {
        self.tree_row(tree)?;
        let what = || format!("tree {tree} cannot be read");
        let path = self.tree_path(tree);
        let size = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(io_problem(what(), &error)),
        };
        self.0.manifests.load(self.0.org, tree, size, || {
            match read_description(&path, tree) {
                Ok(Ok(manifest)) => Ok(manifest),
                Ok(Err(why)) => {
                    if let Err(error) = self.set_tree_aside(tree) {
                        tracing::error!(%tree, %error, "a damaged tree cannot be set aside");
                    }
                    Err(damaged(tree, &why))
                }
                Err(error) => Err(io_problem(what(), &error)),
            }
        })
    }

    fn tree_row(&self, tree: TreeId) -> Result<TreeRow, Problem> {
        let what = || format!("tree {tree} cannot be read");
        let row = self.0.view().and_then(|view| view.tree(tree));
        match row.map_err(|error| error.problem(&what()))? {
            Some(row) if row.damaged => Err(damaged(tree, "its description was set aside")),
            Some(row) => Ok(row),
            None => Err(Problem::new(
                Code::NotFound,
                what(),
                "it is not stored here",
            )),
        }
    }

    /// Puts a description away that says nothing any more. The next upload of the tree makes it whole.
    pub(super) fn set_tree_aside(&self, tree: TreeId) -> Result<(), BlobError> {
        self.0.change(|change| self.set_aside_in(change, tree))
    }

    /// Does as [`Store::set_tree_aside`], in a change.
    pub(super) fn set_aside_in(
        &self,
        change: &mut Change<'_>,
        tree: TreeId,
    ) -> Result<(), BlobError> {
        let Some(row) = change.tree(tree)?.filter(|row| !row.damaged) else {
            // What is there under its name by now is what somebody is about to seal.
            return Ok(());
        };
        tracing::error!(org = %self.0.org, %tree, "a stored tree is damaged and was set aside");
        self.0.manifests.forget(self.0.org, tree);
        super::there(fs::rename(self.tree_path(tree), self.damaged_path(tree)))?;
        change.put_tree(
            tree,
            TreeRow {
                damaged: true,
                ..row
            },
        )
    }

    /// Hears that a row names the tree from now on, or that nobody will.
    pub(crate) fn release(&self, tree: TreeId) {
        self.0.holds.release(tree);
    }

    pub(super) fn depot(&self) -> Option<Arc<Depot>> {
        self.0.packs.depot()
    }

    /// Returns whether nobody uses the store: it may be closed.
    pub(super) fn is_idle(&self) -> bool {
        Arc::strong_count(&self.0) == 1 && self.0.holds.held().is_empty(Instant::now())
    }

    pub(super) fn tree_path(&self, tree: TreeId) -> PathBuf {
        self.0.root.join("trees").join(tree.to_string())
    }

    pub(super) fn damaged_path(&self, tree: TreeId) -> PathBuf {
        self.0.root.join("damaged").join(tree.to_string())
    }
}

impl Inner {
    /// Changes the index in one commit.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut Change<'_>) -> Result<T, BlobError>,
    ) -> Result<T, BlobError> {
        let _one = self.committing();
        self.index.write(change)
    }

    /// Puts what was written into the index, with `change` in the same commit: it is handed the pieces and the minute,
    /// and tells the index of all of them. Where bytes live in a bucket, they are there first.
    pub(super) fn commit<T>(
        &self,
        change: impl FnOnce(&mut Change<'_>, &Snapshot, u32) -> Result<T, BlobError>,
    ) -> Result<T, BlobError> {
        self.ship(true)?;
        self.commit_here(change)
    }

    /// Does as [`Inner::commit`], and leaves on the disk what is not in a bucket yet.
    pub(super) fn commit_here<T>(
        &self,
        change: impl FnOnce(&mut Change<'_>, &Snapshot, u32) -> Result<T, BlobError>,
    ) -> Result<T, BlobError> {
        self.commit_alone(&self.committing(), change)
    }

    /// Does as [`Inner::commit_here`] for whoever is the one that commits.
    fn commit_alone<T>(
        &self,
        _one: &MutexGuard<'_, ()>,
        change: impl FnOnce(&mut Change<'_>, &Snapshot, u32) -> Result<T, BlobError>,
    ) -> Result<T, BlobError> {
        let snapshot = match self.journal.snapshot(&self.packs) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                self.journal.lose(&self.packs)?;
                return Err(error.into());
            }
        };
        let minute = minute(&self.clock);
        let done = self.index.write(|tables| {
            for (pack, length) in &snapshot.packs {
                tables.grow_pack(*pack, *length)?;
            }
            for (pack, length) in &snapshot.shipped {
                tables.grow_pack(*pack, *length)?;
                tables.send_away(self.packs.shipped_as(*pack))?;
            }
            change(tables, &snapshot, minute)
        });
        let done = done.inspect_err(|_| self.journal.failed())?;
        for pack in snapshot.shipped.keys() {
            if let Err(error) = self.packs.went(self.packs.shipped_as(*pack)) {
                // It goes when the store is opened next.
                tracing::warn!(org = %self.org, pack, %error, "the file of a pack that is in the bucket is still there");
            }
        }
        self.journal.committed(&snapshot);
        Ok(done)
    }

    /// Puts what was written into the index: a tree may have it, or it goes after a while.
    pub(super) fn flush(&self) -> Result<(), BlobError> {
        self.commit(arrive_all)
    }

    /// Does as [`Inner::flush`], except where somebody commits already: then it does nothing. Not for a store whose
    /// bytes live in a bucket.
    pub(super) fn flush_beside(&self) -> Result<(), BlobError> {
        match self.committing.try_lock() {
            Err(TryLockError::WouldBlock) => Ok(()),
            Err(TryLockError::Poisoned(one)) => self.commit_alone(&one.into_inner(), arrive_all),
            Ok(one) => self.commit_alone(&one, arrive_all),
        }
    }

    /// Returns how much the disk has room for.
    pub(super) fn free(&self) -> io::Result<Bytes> {
        let disk = rustix::fs::statvfs(&self.root)?;
        let keep = KEEP_FREE
            .0
            .min(disk.f_blocks * disk.f_frsize / KEEP_FREE_PART);
        Ok(Bytes((disk.f_bavail * disk.f_frsize).saturating_sub(keep)))
    }

    pub(super) fn view(&self) -> Result<View, BlobError> {
        self.index.view()
    }

    /// Where packs are. Whoever has it does little.
    pub(super) fn home(&self) -> MutexGuard<'_, Home> {
        // Every change of it is one step: it is whole whatever a thread that held it did.
        self.home.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn held_up(&self) -> MutexGuard<'_, Option<Problem>> {
        // Either there is one or there is none.
        self.held_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn shipping(&self) -> MutexGuard<'_, ()> {
        // It guards no data of its own.
        self.shipping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn collecting(&self) -> MutexGuard<'_, ()> {
        // It guards no data of its own.
        self.collecting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn committing(&self) -> MutexGuard<'_, ()> {
        // It guards no data of its own.
        self.committing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // What is only in the journal is found again anyhow: this spares whoever opens the store next the search.
        if !self.journal.is_empty()
            && let Err(error) = self.commit_here(arrive_all)
        {
            tracing::warn!(org = %self.org, %error, "the last pieces are not in the index yet");
        }
    }
}

/// Puts what was written into the index, for no tree.
pub(super) fn arrive_all(
    change: &mut Change<'_>,
    snapshot: &Snapshot,
    minute: u32,
) -> Result<(), BlobError> {
    for (id, place) in snapshot.in_order(|_| true) {
        change.arrive(id, place, minute)?;
    }
    Ok(())
}

/// Returns a description, or why what is there is none.
pub(super) fn read_description(path: &Path, tree: TreeId) -> io::Result<Result<Manifest, String>> {
    let size = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Err("its description is missing".to_owned()));
        }
        Err(error) => return Err(error),
    };
    if size > MAX_MANIFEST_BYTES {
        return Ok(Err(format!("its description has {size} bytes")));
    }
    let manifest = match Manifest::decode(&fs::read(path)?) {
        Ok(manifest) => manifest,
        Err(error) => return Ok(Err(error.to_string())),
    };
    if manifest.id() != tree {
        return Ok(Err(format!("it is tree {} now", manifest.id())));
    }
    Ok(Ok(manifest))
}

fn damaged(tree: TreeId, why: &str) -> Problem {
    tracing::error!(%tree, why, "a stored tree is damaged");
    Problem::new(Code::Checksum, format!("tree {tree} cannot be read"), why)
}

/// Returns the minute of now; never zero, which stands for at once.
pub(super) fn minute(clock: &Clock) -> u32 {
    let minutes = clock.now().unix_ms() / 60_000;
    u32::try_from(minutes).unwrap_or(u32::MAX).max(1)
}
