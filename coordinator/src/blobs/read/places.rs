//! Where chunks are that are read together.
//!
//! What was sent together mostly lies together: a megabyte of a tree is a hundred records in a row. Where the first and
//! the last of a row are as far from each other as the records between them are long, these are where they should be,
//! and the index need not be asked for each. Whoever reads there sees by the headers whether that is so.

use std::{collections::BTreeMap, ops::Range};

use common::tree::ChunkRef;
use link::trees::piece::Encoding;

use super::{
    super::{
        index::{Place, View},
        packs::Packs,
        record::HEADER_BYTES,
    },
    Unread,
};

/// Returns where each chunk is, as the index says.
pub(in super::super) fn looked_up(
    view: &View,
    _: &Packs,
    chunks: &[ChunkRef],
) -> Result<Vec<Place>, Unread> {
    chunks.iter().map(|chunk| look_up(view, chunk)).collect()
}

fn look_up(view: &View, chunk: &ChunkRef) -> Result<Place, Unread> {
    let row = view.chunk(chunk.id)?;
    let place = row.and_then(|row| row.whole(chunk));
    place.ok_or(Unread::Missing(chunk.id))
}

/// Returns where each chunk should be, as the index says of some of them. Only records of packs without dead ones are
/// taken for granted: elsewhere one that was damaged may still stand where it was. In a bucket none are: what is read in
/// vain there costs.
pub(in super::super) fn derived(
    view: &View,
    packs: &Packs,
    chunks: &[ChunkRef],
) -> Result<Vec<Place>, Unread> {
    let mut deriving = Deriving {
        view,
        packs,
        chunks,
        // By how much a plain record begins behind the first one.
        starts: starts(chunks),
        places: vec![None; chunks.len()],
        sound: BTreeMap::new(),
    };
    let all = 0..chunks.len();
    let mut rows = vec![all];
    while let Some(row) = rows.pop() {
        if row.is_empty() || deriving.derive(&row)? {
            continue;
        }
        let middle = row.start.midpoint(row.end);
        rows.extend([row.start..middle, middle..row.end]);
    }
    let places: Option<Vec<Place>> = deriving.places.into_iter().collect();
    places.ok_or(Unread::Moved)
}

fn starts(chunks: &[ChunkRef]) -> Vec<u64> {
    let ends = chunks.iter().scan(0, |end, chunk| {
        *end += u64::from(HEADER_BYTES) + u64::from(chunk.bytes);
        Some(*end)
    });
    std::iter::once(0).chain(ends).collect()
}

struct Deriving<'a> {
    view: &'a View,
    packs: &'a Packs,
    chunks: &'a [ChunkRef],
    starts: Vec<u64>,
    places: Vec<Option<Place>>,
    /// By pack, whether all that is in it is alive.
    sound: BTreeMap<u32, bool>,
}

impl Deriving<'_> {
    /// Finds the places of a row of chunks, if they lie in a row.
    fn derive(&mut self, row: &Range<usize>) -> Result<bool, Unread> {
        let (first, last) = (self.find(row.start)?, self.find(row.end - 1)?);
        if row.len() <= 2 {
            return Ok(true);
        }
        let apart = u64::from(last.end()).checked_sub(first.offset.into());
        let together = first.pack == last.pack
            && apart == Some(self.starts[row.end] - self.starts[row.start])
            && self.is_sound(first.pack)?
            && last.end() <= self.view.pack(first.pack)?.bytes;
        if !together {
            return Ok(false);
        }
        let mut offset = first.offset;
        for at in row.clone() {
            let bytes = self.chunks[at].bytes;
            self.places[at] = Some(Place {
                pack: first.pack,
                offset,
                stored: bytes,
                encoding: Encoding::Plain,
                bytes,
            });
            offset += HEADER_BYTES + bytes;
        }
        Ok(true)
    }

    fn find(&mut self, at: usize) -> Result<Place, Unread> {
        if let Some(known) = self.places[at] {
            return Ok(known);
        }
        let place = look_up(self.view, &self.chunks[at])?;
        Ok(*self.places[at].insert(place))
    }

    fn is_sound(&mut self, pack: u32) -> Result<bool, Unread> {
        if let Some(known) = self.sound.get(&pack) {
            return Ok(*known);
        }
        let row = self.view.pack(pack)?;
        let sound = row.bytes == row.live && !self.packs.is_away(pack);
        self.sound.insert(pack, sound);
        Ok(sound)
    }
}
