//! An upload: asks what is here, brings what is not, and makes a tree of it.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    sync::OnceLock,
};

use common::{
    code::Code,
    id::{ChunkId, TreeId},
    problem::Problem,
    tree::{ChunkRef, Tree},
    units::Bytes,
};
use link::trees::{Manifest, Piece, Slots, io_problem};

use super::{
    error::BlobError,
    index::{Change, TreeRow, View},
    journal::{Fullness, Snapshot},
    record::Header,
    step,
    store::{Store, arrive_all},
    sync_folder,
};

const NOT_STORED: &str = "the data was not stored";

/// An upload on its way. Until it is dropped, what it was told is here stays here, and so does what it brought; after
/// that for a while, so that another try need not bring it again. May be used from several threads at once.
#[derive(Debug)]
pub(crate) struct Incoming {
    store: Store,
    number: u64,
    /// How often the journal had lost something when it began.
    losses: u64,
    /// The tree beside which it comes.
    beside: OnceLock<Manifest>,
}

impl Incoming {
    pub(super) fn new(store: Store) -> Self {
        let number = store.0.holds.begin();
        let losses = store.0.journal.losses();
        Self {
            store,
            number,
            losses,
            beside: OnceLock::new(),
        }
    }

    /// Has the upload be of a tree that is like this one, which stays until the upload has ended: what of this one it
    /// has too is here then.
    ///
    /// # Errors
    /// This tree is not here.
    pub(crate) fn beside(&self, tree: TreeId) -> Result<Manifest, Problem> {
        self.store.0.holds.hold_beside(self.number, tree);
        let beside = self.store.load_tree(tree)?;
        Ok(self.beside.get_or_init(|| beside).clone())
    }

    /// Returns of each chunk whether it has to be brought.
    ///
    /// # Errors
    /// The index cannot be read.
    pub(crate) fn lacks(&self, chunks: &[ChunkRef]) -> Result<Vec<bool>, Problem> {
        self.hold(chunks.iter());
        let lacks = || -> Result<Vec<bool>, BlobError> {
            // What is in neither was in neither at the look into the journal: it goes from there into the index.
            let pending = self.store.0.journal.have(chunks);
            let view = self.store.0.view()?;
            let lacking = chunks.iter().zip(pending);
            lacking
                .map(|(chunk, pending)| Ok(!pending && !is_here(&view, chunk)?))
                .collect()
        };
        lacks().map_err(|error| error.problem(NOT_STORED))
    }

    /// Checks that there is room for so much more.
    ///
    /// # Errors
    /// `disk_full`.
    pub(crate) fn reserve(&self, missing: Bytes) -> Result<(), Problem> {
        if missing == Bytes::ZERO {
            return Ok(());
        }
        let free = self.store.0.free();
        let free = free.map_err(|error| io_problem(NOT_STORED, &error))?;
        // What goes to a bucket stays only until it is there.
        let passing = Bytes(self.store.0.limits.passing_bytes);
        let missing = match self.store.0.journal.ships() {
            true => missing.min(passing),
            false => missing,
        };
        if missing > free {
            let why = format!("{missing} are to be stored, but the coordinator has {free} free");
            let help = "Ask who runs the coordinator to free some space, then try again.";
            return Err(Problem::new(Code::DiskFull, NOT_STORED, why).help(help));
        }
        Ok(())
    }

    /// Stores pieces that the caller has opened and checked. Those that are here already are left out. They are on the
    /// disk once a tree with them is sealed.
    ///
    /// # Errors
    /// `bad_request` for a form in which no chunk is kept; `disk_full` or `io_error`. What was stored before stays.
    pub(crate) fn put(&self, pieces: &[(ChunkRef, Piece)]) -> Result<(), Problem> {
        self.hold(pieces.iter().map(|(chunk, _)| chunk));
        let mut records = Vec::with_capacity(pieces.len());
        for (chunk, piece) in pieces {
            let header = Header::of(chunk, piece).map_err(|error| {
                let why = format!(
                    "piece {} came in a form that is not kept: {error}",
                    chunk.id
                );
                Problem::new(Code::BadRequest, NOT_STORED, why)
            })?;
            records.push((header, piece.bytes().clone()));
        }
        let put = || {
            let inner = &*self.store.0;
            match inner.journal.fullness() {
                // Nobody else's commit keeps up, or it did not get into the bucket: there is no more room until it does.
                Fullness::Over => inner.flush()?,
                Fullness::Full if inner.journal.ships() => inner.flush()?,
                _ => {}
            }
            let view = inner.view()?;
            let mut new = Vec::with_capacity(records.len());
            for record in records {
                if !is_here(&view, &record.0.chunk)? {
                    new.push(record);
                }
            }
            let full = inner.journal.arrive(&inner.packs, &new)?;
            // Others write on meanwhile, and the commit finds most of the upload on the disk, or in the bucket.
            if inner.journal.ships() {
                inner.ship(false)?;
                return Ok(());
            }
            for pack in full {
                if let Err(error) = inner.journal.sync_full(&inner.packs, pack) {
                    let _one = inner.committing();
                    inner.journal.lose(&inner.packs)?;
                    return Err(error.into());
                }
            }
            if inner.journal.fullness() != Fullness::Room {
                inner.flush_beside()?;
            }
            Ok(())
        };
        put().map_err(|error: BlobError| error.problem(NOT_STORED))
    }

    /// Makes a tree, all of whose chunks are here, durable.
    ///
    /// # Errors
    /// `bad_request` if a chunk is missing, `disk_full`, `io_error`. No tree is stored then.
    pub(crate) fn seal(&self, manifest: &Manifest) -> Result<TreeId, Problem> {
        let tree = manifest.id();
        // From before it has its name: nobody may take it away before it is named.
        self.store.0.holds.seal(tree);
        let sealed = self.try_seal(manifest);
        if sealed.is_err() {
            self.store.release(tree);
        }
        sealed.map_err(|error| match error {
            // It was sent, and was here for a while.
            BlobError::NotSent(_) if self.store.0.journal.losses() != self.losses => {
                BlobError::Lost.problem(NOT_STORED)
            }
            error => error.problem(NOT_STORED),
        })?;
        Ok(tree)
    }

    fn try_seal(&self, manifest: &Manifest) -> Result<(), BlobError> {
        let (store, tree) = (&self.store, manifest.id());
        let size = TreeRow {
            bytes: manifest.tree().bytes(),
            files: manifest.tree().file_count(),
            since: 0,
            damaged: false,
        };
        let mut beside = self.beside.get();
        let mut chunks = match beside {
            Some(beside) => chunks_beside(manifest.tree(), beside.tree()),
            None => sorted(manifest.chunks()),
        };
        loop {
            // Held too where nobody asked: all of them have to be here.
            self.hold(chunks.iter().copied());
            let there = store.0.view()?.tree(tree)?.is_some_and(|row| !row.damaged);
            if !there {
                self.write_description(manifest)?;
            }
            let sealed = store.0.commit(|change, snapshot, minute| {
                let before = change.tree(tree)?;
                // It has lost its name, or its description, since the look: from now on it is held, and the next look
                // finds it gone.
                let gone = there && before.is_none_or(|row| row.damaged);
                let vouched = match beside {
                    Some(beside) => change.has_whole(beside.id())?,
                    None => true,
                };
                if gone || !vouched {
                    arrive_all(change, snapshot, minute)?;
                    return Ok(None);
                }
                // Those of one that is here may have got a piece back that was damaged.
                arrive_with(change, &chunks, snapshot, minute)?;
                if before.is_none() {
                    change.note_counted(tree, Some(0))?;
                }
                change.put_tree(
                    tree,
                    TreeRow {
                        since: minute,
                        ..size
                    },
                )?;
                Ok(Some(()))
            })?;
            if sealed.is_some() {
                break;
            }
            if beside.take().is_some() {
                chunks = sorted(manifest.chunks());
            }
        }
        store.0.manifests.keep(store.0.org, manifest);
        // Where nothing was damaged, there is nothing to remove.
        super::there(fs::remove_file(store.damaged_path(tree)))?;
        Ok(())
    }

    /// Writes the description under its name: nobody reads it before the index says that it is there.
    fn write_description(&self, manifest: &Manifest) -> Result<(), BlobError> {
        let bytes = manifest.encode().map_err(io::Error::other)?;
        let root = &self.store.0.root;
        let temp = root
            .join("temps")
            .join(format!("{}-{}", self.number, manifest.id()));
        let written = || {
            let mut file = File::create(&temp)?;
            step();
            file.write_all(&bytes)?;
            file.sync_all()?;
            step();
            fs::rename(&temp, self.store.tree_path(manifest.id()))?;
            step();
            sync_folder(&root.join("trees"))
        };
        written().inspect_err(|_| {
            // What stays is cleared when the store is opened next.
            let _ = fs::remove_file(&temp);
        })?;
        Ok(self.store.ship_description(manifest.id(), bytes)?)
    }

    pub(super) fn slots(&self) -> Slots {
        self.store.slots()
    }

    fn hold<'a>(&self, chunks: impl Iterator<Item = &'a ChunkRef>) {
        let ids = chunks.map(|chunk| chunk.id);
        self.store.0.holds.hold(self.number, ids);
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.store.0.holds.end(self.number);
    }
}

/// Puts what was written into the index for a tree that has these chunks, all of which have to be here then.
fn arrive_with(
    change: &mut Change<'_>,
    chunks: &[&ChunkRef],
    snapshot: &Snapshot,
    minute: u32,
) -> Result<(), BlobError> {
    let mut brought = 0;
    for chunk in chunks {
        let row = match snapshot.pieces.get(&chunk.id) {
            Some(place) => {
                brought += 1;
                Some(change.arrive_for_tree(chunk.id, *place, minute)?)
            }
            None => change.chunk(chunk.id)?,
        };
        if row.and_then(|row| row.whole(chunk)).is_none() {
            return Err(BlobError::NotSent(chunk.id));
        }
    }
    if brought == snapshot.pieces.len() {
        return Ok(());
    }
    let ours = |id: &ChunkId| chunks.binary_search_by_key(id, |chunk| chunk.id).is_ok();
    for (id, place) in snapshot.in_order(|id| !ours(id)) {
        change.arrive(id, place, minute)?;
    }
    Ok(())
}

/// Returns the chunks of a tree in the order of the index, whose pages are then written once. There may be millions.
fn sorted(chunks: &[ChunkRef]) -> Vec<&ChunkRef> {
    let mut chunks: Vec<&ChunkRef> = chunks.iter().collect();
    chunks.sort_unstable();
    chunks
}

/// Returns the chunks of the files that a tree beside this one has not got under the same name, in the order of the
/// index.
fn chunks_beside<'a>(tree: &'a Tree, beside: &Tree) -> Vec<&'a ChunkRef> {
    let mut others = beside.files().peekable();
    let mut chunks = Vec::new();
    for (path, ours) in tree.files() {
        while others.next_if(|(other, _)| *other < path).is_some() {}
        let theirs = others.next_if(|(other, _)| *other == path);
        if theirs.is_none_or(|(_, theirs)| theirs != ours) {
            chunks.extend(ours);
        }
    }
    chunks.sort_unstable();
    chunks.dedup();
    chunks
}

fn is_here(view: &View, chunk: &ChunkRef) -> Result<bool, BlobError> {
    let row = view.chunk(chunk.id)?;
    Ok(row.is_some_and(|row| row.whole(chunk).is_some()))
}
