//! Pieces that were written and are not in the index yet: the ends of the packs.
//!
//! What is here is found again after the process was killed (see [`super::recover`]), so that nobody sends it twice.

mod snapshot;
mod writing;

pub(super) use self::snapshot::Snapshot;

use std::{
    collections::{BTreeMap, BTreeSet},
    io, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use common::{id::ChunkId, tree::ChunkRef};

use self::snapshot::{Pieces, bytes_of};
use super::{
    Limits,
    index::Place,
    packs::{Packs, Writer},
    record::Header,
    there,
};

/// How much more than what should go into the index may wait for that: one part in so many.
const OVER_PART: usize = 4;

const NOT_KEPT: &str = "the coordinator's disk failed to keep what was written before";

#[derive(Debug)]
pub(super) struct Journal {
    limits: Limits,
    written: Mutex<Written>,
    /// Held while packs are synced, and whether that has failed and [`Journal::lose`] has not heard of it yet. A system
    /// says once that it could not keep what was written, to whoever asks first: nobody else takes a pack for safe
    /// between that and the note here. Taken before `written`.
    syncing: Mutex<bool>,
}

#[derive(Debug)]
struct Written {
    writer: Option<Writer>,
    next: u32,
    pending: Pieces,
    pending_bytes: u64,
    /// What a commit puts into the index now.
    leaving: Arc<Pieces>,
    /// Of packs with more than the index knows: how much it knows, and how much there is.
    grown: BTreeMap<u32, (u32, u32)>,
    unsynced: BTreeSet<u32>,
    /// Files were made whose names may not be on the disk.
    new_names: bool,
    /// How often something was lost.
    losses: u64,
    /// Packs that are begun go to a bucket once they are whole.
    ships: bool,
    /// Those that have not got there, and how long they are.
    unshipped: BTreeMap<u32, u32>,
    /// Those that are there, of which the index has not heard.
    shipped: BTreeMap<u32, u32>,
}

/// How much is here of what may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fullness {
    Room,
    /// Somebody should put it into the index, while others write on; where there is a bucket, while nobody does.
    Full,
    /// Nobody writes on until that is done.
    Over,
}

impl Journal {
    /// Goes on with a pack that has this length, or begins with the next one.
    pub(super) fn new(limits: Limits, writer: Option<Writer>, next: u32) -> Self {
        Self {
            limits,
            written: Mutex::new(Written {
                writer,
                next,
                pending: Pieces::new(),
                pending_bytes: 0,
                leaving: Arc::default(),
                grown: BTreeMap::new(),
                unsynced: BTreeSet::new(),
                new_names: false,
                losses: 0,
                ships: false,
                unshipped: BTreeMap::new(),
                shipped: BTreeMap::new(),
            }),
            syncing: Mutex::new(false),
        }
    }

    /// Says whether packs that are begun from now on go to a bucket. What was begun before stays where it is.
    pub(super) fn set_ships(&self, ships: bool) {
        let mut written = self.written();
        if written.ships != ships {
            written.ships = ships;
            written.writer = None;
            written.unshipped.clear();
            // Their files are here until a commit says that they are in the bucket, and now none will.
            let here = mem::take(&mut written.shipped);
            written.unsynced.extend(here.into_keys());
        }
    }

    pub(super) fn ships(&self) -> bool {
        self.written().ships
    }

    /// Returns the packs that are to go to the bucket and do not grow, and how long they are; with the one that grows,
    /// which does so no more, where `all` are to go.
    pub(super) fn to_ship(&self, all: bool) -> Vec<(u32, u32)> {
        let mut written = self.written();
        if all && written.ships {
            written.writer = None;
        }
        let growing = written.writer.as_ref().map(|writer| writer.number);
        let closed = written.unshipped.iter();
        closed
            .filter(|(pack, _)| Some(**pack) != growing)
            .map(|(pack, length)| (*pack, *length))
            .collect()
    }

    /// Notes that a pack is in the bucket.
    pub(super) fn shipped(&self, pack: u32, length: u32) {
        let mut written = self.written();
        // Otherwise it was lost meanwhile, or is to stay here.
        if written.unshipped.remove(&pack).is_some() {
            written.unsynced.remove(&pack);
            written.shipped.insert(pack, length);
        }
    }

    /// Returns whether a pack is on its way to the bucket.
    pub(super) fn is_shipping(&self, pack: u32) -> bool {
        let written = self.written();
        written.unshipped.contains_key(&pack) || written.shipped.contains_key(&pack)
    }

    /// Returns of each chunk whether it is here, as long as it should be.
    pub(super) fn have(&self, chunks: &[ChunkRef]) -> Vec<bool> {
        let written = self.written();
        let have = |chunk: &ChunkRef| written.find(chunk.id);
        let have = |chunk| have(chunk).is_some_and(|place| place.bytes == chunk.bytes);
        chunks.iter().map(have).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.written().holds_nothing()
    }

    /// Returns how often something was lost so far: whoever wrote something and finds another number when it counts has
    /// to write it again.
    pub(super) fn losses(&self) -> u64 {
        self.written().losses
    }

    /// Returns whether there is nothing to put into the index or the bucket.
    pub(super) fn is_idle(&self) -> bool {
        let written = self.written();
        written.holds_nothing() && written.unshipped.is_empty() && written.shipped.is_empty()
    }

    /// Returns the number of the pack that grows now.
    pub(super) fn growing(&self) -> Option<u32> {
        self.written().writer.as_ref().map(|writer| writer.number)
    }

    /// Returns whether a pack has more than the index knows.
    pub(super) fn has_more(&self, pack: u32) -> bool {
        self.written().grown.contains_key(&pack)
    }

    /// Has no pack grow any more that did so far.
    pub(super) fn retire(&self, pack: u32) {
        let mut written = self.written();
        if written
            .writer
            .as_ref()
            .is_some_and(|writer| writer.number == pack)
        {
            written.writer = None;
        }
    }

    /// Returns whether what is here should go into the index, beside what a commit takes there now.
    pub(super) fn fullness(&self) -> Fullness {
        let written = self.written();
        let reaches = |pieces: usize, bytes: u64| {
            written.pending.len() >= pieces || written.pending_bytes >= bytes
        };
        let (pieces, bytes) = match written.ships {
            true => (self.limits.pending_pieces, self.limits.passing_bytes),
            false => (self.limits.pending_pieces, self.limits.pending_bytes),
        };
        if reaches(
            pieces + pieces / OVER_PART,
            bytes + bytes / OVER_PART as u64,
        ) {
            Fullness::Over
        } else if reaches(pieces, bytes) {
            Fullness::Full
        } else {
            Fullness::Room
        }
    }

    /// Writes pieces that arrived, without those that are here. Returns packs that are full now: the caller syncs them
    /// while others go on.
    pub(super) fn arrive(&self, packs: &Packs, pieces: &[(Header, Bytes)]) -> io::Result<Vec<u32>> {
        let mut written = self.written();
        let before = written.next;
        let mut places = Vec::with_capacity(pieces.len());
        let done = {
            let mut seen = BTreeSet::new();
            let mut new = Vec::with_capacity(pieces.len());
            for piece in pieces {
                let id = piece.0.chunk.id;
                if written.find(id).is_none() && seen.insert(id) {
                    new.push(piece);
                }
            }
            written.append(packs, self.limits, new.into_iter(), &mut places)
        };
        for (id, place) in places {
            written.pending_bytes += u64::from(place.record_bytes());
            written.pending.insert(id, place);
        }
        done?;
        let full = before.saturating_sub(1)..written.next.saturating_sub(1);
        Ok(full
            .filter(|pack| written.unsynced.contains(pack))
            .collect())
    }

    /// Writes pieces at another place, of which the caller tells the index. Returns where they are now.
    pub(super) fn copy(
        &self,
        packs: &Packs,
        pieces: &[(Header, Bytes)],
    ) -> io::Result<Vec<(ChunkId, Place)>> {
        let mut places = Vec::with_capacity(pieces.len());
        let mut written = self.written();
        written.append(packs, self.limits, pieces.iter(), &mut places)?;
        Ok(places)
    }

    /// Sees to it that a full pack is on the disk, while others write on. One that has gone need not be.
    ///
    /// # Errors
    /// It is not: [`Journal::lose`] has to be called, as nothing is committed before.
    pub(super) fn sync_full(&self, packs: &Packs, pack: u32) -> io::Result<()> {
        let mut failed = self.syncing();
        if *failed {
            return Err(io::Error::other(NOT_KEPT));
        }
        there(packs.sync(pack)).inspect_err(|_| *failed = true)?;
        self.written().unsynced.remove(&pack);
        Ok(())
    }

    /// Returns all that is here, for a commit: it is on the disk.
    ///
    /// # Errors
    /// As for [`Journal::sync_full`].
    pub(super) fn snapshot(&self, packs: &Packs) -> io::Result<Snapshot> {
        let mut failed = self.syncing();
        if *failed {
            return Err(io::Error::other(NOT_KEPT));
        }
        let (snapshot, unsynced, new_names) = self.written().snapshot();
        let sync = || {
            unsynced.iter().try_for_each(|pack| packs.sync(*pack))?;
            new_names.then(|| packs.sync_names()).transpose()
        };
        sync().inspect_err(|_| *failed = true)?;
        Ok(snapshot)
    }

    /// Notes that the index knows what the snapshot had.
    pub(super) fn committed(&self, snapshot: &Snapshot) {
        let mut written = self.written();
        written.leaving = Arc::default();
        for pack in snapshot.shipped.keys() {
            written.shipped.remove(pack);
            // Its file has gone, also where it was to stay since the snapshot.
            written.unsynced.remove(pack);
        }
        for (pack, known) in &snapshot.packs {
            if let Some((before, length)) = written.grown.get_mut(pack) {
                *before = *known;
                if known == length {
                    written.grown.remove(pack);
                }
            }
        }
    }

    /// Notes that the index does not know it.
    pub(super) fn failed(&self) {
        self.written().put_back();
    }

    /// Forgets all that is not in the index, after the disk has failed to keep it: nobody can say what is there. Does
    /// nothing where that was done since. Called by whoever commits.
    ///
    /// # Errors
    /// What a pack has behind what the index knows is still there: nothing is committed until this was done.
    pub(super) fn lose(&self, packs: &Packs) -> io::Result<()> {
        let mut failed = self.syncing();
        if !*failed {
            return Ok(());
        }
        let mut written = self.written();
        written.losses += 1;
        written.pending = Pieces::new();
        written.pending_bytes = 0;
        written.leaving = Arc::default();
        written.unsynced.clear();
        written.unshipped.clear();
        written.shipped.clear();
        written.writer = None;
        while let Some((pack, (known, _))) = written.grown.pop_first() {
            packs.writer(pack, known).inspect_err(|_| {
                written.grown.insert(pack, (known, known));
            })?;
        }
        *failed = false;
        Ok(())
    }

    /// Forgets what the index does not know of a pack that cannot be read any more. Called by whoever commits.
    pub(super) fn abandon(&self, pack: u32) {
        self.retire(pack);
        let mut written = self.written();
        // Also where nothing was pending: what was copied to it is nowhere now.
        written.losses += 1;
        written.pending.retain(|_, place| place.pack != pack);
        Arc::make_mut(&mut written.leaving).retain(|_, place| place.pack != pack);
        written.pending_bytes = bytes_of(&written.pending);
        written.unshipped.remove(&pack);
        written.unsynced.remove(&pack);
        written.grown.remove(&pack);
    }

    fn syncing(&self) -> MutexGuard<'_, bool> {
        // Every change of it is one step.
        self.syncing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        // Every change of it is one step: it is whole whatever a thread that held it did.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Written {
    fn find(&self, id: ChunkId) -> Option<&Place> {
        self.pending.get(&id).or_else(|| self.leaving.get(&id))
    }

    /// Has what a commit did not put into the index wait for the next one.
    fn put_back(&mut self) {
        let leaving = mem::take(&mut self.leaving);
        self.pending_bytes += bytes_of(&leaving);
        if self.pending.is_empty() {
            self.pending = Arc::unwrap_or_clone(leaving);
        } else {
            self.pending.extend(leaving.iter());
        }
    }

    fn holds_nothing(&self) -> bool {
        self.pending.is_empty() && self.leaving.is_empty()
    }

    /// Returns all that is here, with the packs that are to be synced, and whether files' names are.
    fn snapshot(&mut self) -> (Snapshot, BTreeSet<u32>, bool) {
        // Nothing is left there, unless whoever committed last did not get to say how it ended.
        self.put_back();
        self.leaving = Arc::new(mem::take(&mut self.pending));
        self.pending_bytes = 0;
        let packs = self.grown.iter();
        let snapshot = Snapshot {
            pieces: Arc::clone(&self.leaving),
            packs: packs.map(|(pack, (_, length))| (*pack, *length)).collect(),
            losses: self.losses,
            shipped: self.shipped.clone(),
        };
        let unsynced = mem::take(&mut self.unsynced);
        (snapshot, unsynced, mem::take(&mut self.new_names))
    }
}
