//! Looking through everything that is stored, one pack at a time: what is not what it was is set aside, so that nobody
//! gets it and the next upload brings it anew.
//!
//! How far a look has come is in the index: a restart goes on with it.

use std::collections::HashSet;

use common::{
    api::storage::{MAX_DAMAGED, Scrub},
    id::{ChunkId, TreeId},
    time::Timestamp,
    tree::ChunkRef,
    units::Bytes,
};
use link::trees::Piece;
use serde::{Deserialize, Serialize};

use super::{
    error::BlobError,
    index::{Pack, Place, SCRUB},
    moving::is_lost,
    packs::Step,
    store::{Store, read_description},
};

/// How looks stand.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Looks {
    /// The one that has not ended, and the pack that it has come to.
    now: Option<(Scrub, u32)>,
    last: Option<Scrub>,
}

/// What a step of a look has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scrubbed {
    /// So much was read; there is more.
    On(Bytes),
    Done(Scrub),
}

impl Store {
    /// Returns the newest look that has ended.
    ///
    /// # Errors
    /// The index cannot be read.
    pub(crate) fn last_scrub(&self) -> Result<Option<Scrub>, BlobError> {
        Ok(self.looks()?.last)
    }

    /// Goes on with a look that was begun, or begins one: reads one pack, or all descriptions.
    ///
    /// # Errors
    /// Something cannot be read or noted; the next call goes on with it.
    pub(crate) fn scrub_step(&self, now: Timestamp) -> Result<Scrubbed, BlobError> {
        let mut looks = self.looks()?;
        let (mut scrub, after) = match looks.now.take() {
            Some(begun) => begun,
            None => (self.scrub_trees(now)?, 0),
        };
        let packs = self.0.view()?.packs()?;
        let next = packs
            .into_iter()
            .find(|(number, pack)| *number > after && pack.bytes > 0);
        let Some((number, pack)) = next else {
            self.count_damaged(&mut scrub)?;
            scrub.ended_at = now;
            looks.last = Some(scrub.clone());
            self.keep_looks(&looks)?;
            return Ok(Scrubbed::Done(scrub));
        };
        let damaged = self.scrub_pack(number, pack, &mut scrub)?;
        self.set_aside(&damaged)?;
        looks.now = Some((scrub, number));
        self.keep_looks(&looks)?;
        Ok(Scrubbed::On(Bytes(pack.bytes.into())))
    }

    /// Looks through all descriptions; returns the beginning of a look.
    fn scrub_trees(&self, now: Timestamp) -> Result<Scrub, BlobError> {
        let scrub = Scrub {
            started_at: now,
            ended_at: now,
            pieces: 0,
            bytes: Bytes::ZERO,
            damaged: 0,
            named: Vec::new(),
        };
        let trees: Vec<TreeId> = self
            .0
            .view()?
            .trees()?
            .into_iter()
            .map(|(tree, _)| tree)
            .collect();
        for tree in trees {
            let sound = read_description(&self.tree_path(tree), tree)?.is_ok();
            // It may have gone meanwhile.
            if !sound && self.0.view()?.tree(tree)?.is_some() {
                self.set_tree_aside(tree)?;
            }
        }
        Ok(scrub)
    }

    /// Counts what is damaged, whoever found it: what was made whole meanwhile is not.
    fn count_damaged(&self, scrub: &mut Scrub) -> Result<(), BlobError> {
        self.count()?;
        let view = self.0.view()?;
        let trees = view.trees()?.into_iter().filter(|(_, row)| row.damaged);
        scrub.damaged = trees.count() as u64;
        view.each_lost(|id, row| {
            if row.references > 0 {
                scrub.damaged += 1;
                if scrub.named.len() < MAX_DAMAGED {
                    scrub.named.push(id);
                }
            }
            true
        })
    }

    /// Returns the pieces of a pack that are not what they were.
    fn scrub_pack(
        &self,
        number: u32,
        pack: Pack,
        scrub: &mut Scrub,
    ) -> Result<Vec<(ChunkId, Place)>, BlobError> {
        let view = self.0.view()?;
        let there = match self.0.packs.length(number) {
            Err(error) if is_lost(&error) => 0,
            length => u32::try_from(length?).unwrap_or(u32::MAX),
        };
        let mut damaged = Vec::new();
        let mut seen = HashSet::new();
        let mut live = 0;
        self.0
            .packs
            .walk(number, 0, pack.bytes.min(there), |offset, header, bytes| {
                let place = Place::of(number, offset, header);
                let row = view.chunk(header.chunk.id)?;
                if row.is_some_and(|row| row.place == Some(place)) {
                    live += place.record_bytes();
                    seen.insert(header.chunk.id);
                    scrub.pieces += 1;
                    scrub.bytes.0 += u64::from(place.record_bytes());
                    if Piece::from_parts(header.encoding, bytes)
                        .open(&header.chunk)
                        .is_err()
                    {
                        damaged.push((header.chunk.id, place));
                    }
                }
                Ok::<_, BlobError>(Step::On)
            })?;
        if live < pack.live {
            // A header is damaged, or the file is cut short: what is behind it is looked for by the index.
            let mut rest = Vec::new();
            view.each_chunk(|id, row| {
                let place = row.place.filter(|place| place.pack == number);
                rest.extend(
                    place
                        .filter(|_| !seen.contains(&id))
                        .map(|place| (id, place)),
                );
                true
            })?;
            for (id, place) in rest {
                let chunk = ChunkRef {
                    id,
                    bytes: place.bytes,
                };
                scrub.pieces += 1;
                scrub.bytes.0 += u64::from(place.record_bytes());
                let piece = self.read_record(&chunk, &place)?;
                if piece.is_none_or(|piece| piece.open(&chunk).is_err()) {
                    damaged.push((id, place));
                }
            }
        }
        Ok(damaged)
    }

    fn looks(&self) -> Result<Looks, BlobError> {
        let note = self.0.view()?.note(SCRUB)?;
        // One that cannot be read is begun anew.
        Ok(note
            .and_then(|note| serde_json::from_slice(&note).ok())
            .unwrap_or_default())
    }

    fn keep_looks(&self, looks: &Looks) -> Result<(), BlobError> {
        let note = serde_json::to_vec(looks).map_err(std::io::Error::other)?;
        self.0.change(|change| change.note(SCRUB, &note))
    }
}
