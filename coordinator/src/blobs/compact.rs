//! Giving dead space back: what still lives in a pack is copied to the one that grows, and the pack goes.
//!
//! The copies are on the disk before one commit says of all of them where they are now and that the pack goes; its file
//! is deleted after that. Killed in between, either the copies are dead, or the file is deleted at the next start.

use std::collections::BTreeSet;

use bytes::Bytes;
use common::{id::ChunkId, tree::ChunkRef};

use super::{
    error::BlobError,
    index::{Pack, Place},
    moving::is_lost,
    packs::Step,
    record::Header,
    store::{Store, arrive_all},
};

/// A pack is cleared up once one part in so many of it is dead.
const DEAD_PART: u32 = 4;
/// The pack that grows is left alone while less of it is dead.
const LEAST_DEAD: u32 = 1 << 20;
/// One pack is made of packs in the bucket that are shorter than this part of one, once there are so many of them.
const SMALL_PART: u32 = 8;
const LEAST_MERGED: usize = 8;
/// Pieces are copied once there are so many bytes of them.
const COPY_BYTES: usize = 4 << 20;

impl Store {
    /// Clears up the packs with much dead space, and makes one of many small ones in the bucket, where every sealed
    /// tree begins a pack of its own.
    ///
    /// # Errors
    /// Something cannot be read or written; the next call goes on.
    pub(super) fn compact(&self) -> Result<(), BlobError> {
        if self.0.journal.ships() {
            // Where the bucket cannot be used, nothing is copied that could not go there.
            self.0.flush()?;
        }
        let view = self.0.view()?;
        // Of the same moment: a pack that is in the bucket there does not grow, and its row is its last.
        let (mut packs, away) = (view.packs()?, view.away()?);
        drop(view);
        // What needs no room first.
        packs.sort_by_key(|(_, pack)| pack.live);
        let mut small = Vec::new();
        for (number, pack) in packs {
            if self.0.journal.is_shipping(number) {
                continue;
            }
            if pack.bytes == 0 {
                // Its object could not be deleted before.
                self.remove_pack(number)?;
                continue;
            }
            if pack.dead() < pack.bytes.div_ceil(DEAD_PART) {
                let most = self.0.limits.shipped_bytes / SMALL_PART;
                if pack.bytes < most && away.contains_key(&number) {
                    small.push((number, pack));
                }
                continue;
            }
            if self.0.journal.growing() == Some(number) {
                if pack.dead() < LEAST_DEAD.min(self.0.limits.pack_bytes / 2) {
                    continue;
                }
                self.0.journal.retire(number);
            }
            if let Some(pack) = self.whole_row(number)? {
                self.clear_up(&[(number, pack)])?;
            }
        }
        // Smallest first, and several of them fit into one.
        for some in small.chunks(SMALL_PART as usize * 2) {
            if some.len() >= LEAST_MERGED {
                self.clear_up(some)?;
            }
        }
        Ok(())
    }

    /// Returns the row of a pack that does not grow, once all that it has is in the index: uploads, and what was copied
    /// of others, may have come to it since somebody looked.
    pub(super) fn whole_row(&self, number: u32) -> Result<Option<Pack>, BlobError> {
        if self.0.journal.has_more(number) {
            self.0.flush()?;
        }
        let packs = self.0.view()?.packs()?;
        let row = packs.into_iter().find(|(pack, _)| *pack == number);
        Ok(row.map(|(_, pack)| pack))
    }

    /// Moves what lives in packs that do not grow, and of which the index has all; deletes them.
    pub(super) fn clear_up(&self, packs: &[(u32, Pack)]) -> Result<(), BlobError> {
        let moves = self.copy_live(packs)?;
        self.leave(packs, &moves)?;
        let (pieces, packs) = (moves.made.len(), packs.len());
        tracing::debug!(org = %self.0.org, packs, pieces, "packs were cleared up");
        Ok(())
    }

    /// Copies what lives in packs.
    pub(super) fn copy_live(&self, packs: &[(u32, Pack)]) -> Result<Moves, BlobError> {
        let mut moves = Moves {
            losses: self.0.journal.losses(),
            ..Moves::default()
        };
        for (number, pack) in packs {
            let before = moves.live;
            if pack.live > 0 {
                match self.move_records(*number, *pack, &mut moves) {
                    Err(BlobError::Io(error)) if is_lost(&error) => {}
                    moved => moved?,
                }
            }
            if moves.live - before < pack.live {
                self.move_rest(*number, &mut moves)?;
            }
        }
        Ok(moves)
    }

    /// Notes where everything is now, and deletes the packs.
    pub(super) fn leave(&self, packs: &[(u32, Pack)], moves: &Moves) -> Result<(), BlobError> {
        let lost = moves.made.iter().filter(|(.., to)| to.is_none());
        let lost: BTreeSet<u32> = lost.map(|(_, from, _)| from.pack).collect();
        for (number, _) in packs.iter().filter(|(number, _)| lost.contains(number)) {
            // Its disk may be able to read it another day.
            self.0.packs.keep_damaged(*number, &self.0.root)?;
        }
        self.0.commit(|change, snapshot, minute| {
            if snapshot.losses != moves.losses {
                return Err(BlobError::Lost);
            }
            arrive_all(change, snapshot, minute)?;
            for (id, from, to) in &moves.made {
                change.relocate(*id, *from, *to)?;
            }
            packs
                .iter()
                .try_for_each(|(number, _)| change.doom_pack(*number))
        })?;
        packs
            .iter()
            .try_for_each(|(number, _)| self.remove_pack(*number))
    }

    fn remove_pack(&self, number: u32) -> Result<(), BlobError> {
        self.0.packs.remove(number)?;
        self.0.change(|change| change.forget_pack(number))
    }

    /// Copies the live records of a pack, front to back.
    fn move_records(&self, number: u32, pack: Pack, moves: &mut Moves) -> Result<(), BlobError> {
        let view = self.0.view()?;
        let mut batch = Vec::new();
        let mut bytes = 0;
        self.0
            .packs
            .walk(number, 0, pack.bytes, |offset, header, piece| {
                let place = Place::of(number, offset, header);
                let row = view.chunk(header.chunk.id)?;
                if row.is_some_and(|row| row.place == Some(place)) {
                    bytes += piece.len();
                    batch.push((*header, piece, place));
                    if bytes >= COPY_BYTES {
                        self.copy(&mut batch, moves)?;
                        bytes = 0;
                    }
                }
                Ok::<_, BlobError>(Step::On)
            })?;
        self.copy(&mut batch, moves)
    }

    /// Copies what the index has in a pack and its records do not say: a header is damaged.
    fn move_rest(&self, number: u32, moves: &mut Moves) -> Result<(), BlobError> {
        let moved: BTreeSet<ChunkId> = moves.made.iter().map(|(id, ..)| *id).collect();
        let mut rest = Vec::new();
        self.0.view()?.each_chunk(|id, row| {
            if let Some(place) = row.place.filter(|place| place.pack == number)
                && !moved.contains(&id)
            {
                rest.push((id, place));
            }
            true
        })?;
        for (id, place) in rest {
            let chunk = ChunkRef {
                id,
                bytes: place.bytes,
            };
            match self.read_record(&chunk, &place)? {
                Some(piece) => {
                    let header = Header::of(&chunk, &piece).map_err(std::io::Error::other)?;
                    self.copy(&mut vec![(header, piece.bytes().clone(), place)], moves)?;
                }
                None => {
                    tracing::error!(org = %self.0.org, chunk = %id, pack = number, "a stored chunk is damaged");
                    moves.made.push((id, place, None));
                }
            }
        }
        Ok(())
    }

    fn copy(
        &self,
        batch: &mut Vec<(Header, Bytes, Place)>,
        moves: &mut Moves,
    ) -> Result<(), BlobError> {
        let records: Vec<(Header, Bytes)> = batch
            .iter()
            .map(|(header, piece, _)| (*header, piece.clone()))
            .collect();
        let places = self.0.journal.copy(&self.0.packs, &records)?;
        for ((_, _, from), (id, to)) in batch.drain(..).zip(places) {
            moves.live += from.record_bytes();
            moves.made.push((id, from, Some(to)));
        }
        Ok(())
    }
}

/// What was copied from where to where; nowhere what is damaged.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// See [`Journal::losses`](super::journal::Journal::losses): copies that were lost since are nowhere.
    losses: u64,
    made: Vec<(ChunkId, Place, Option<Place>)>,
    /// Bytes of the records that were found.
    live: u32,
}
