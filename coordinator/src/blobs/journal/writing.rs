//! Records on their way to the end of the pack that grows.

use std::io;

use bytes::Bytes;
use common::id::ChunkId;

use super::{
    super::{Limits, index::Place, packs::Packs, record::Header},
    Written,
};

/// Records that are written with one call of the system, about.
const WRITE_BYTES: usize = 4 << 20;

impl Written {
    /// Writes records, and notes in `places` those that were written even where it fails.
    pub(super) fn append<'a>(
        &mut self,
        packs: &Packs,
        limits: Limits,
        pieces: impl Iterator<Item = &'a (Header, Bytes)> + Clone,
        places: &mut Vec<(ChunkId, Place)>,
    ) -> io::Result<()> {
        let pack_bytes = match self.ships {
            true => limits.shipped_bytes,
            false => limits.pack_bytes,
        };
        let all = pieces
            .clone()
            .map(|(header, _)| header.record_bytes() as usize);
        let mut records = Vec::with_capacity(all.sum::<usize>().min(WRITE_BYTES));
        let mut coming = Vec::new();
        for (header, bytes) in pieces {
            let gathered = u32::try_from(records.len()).map_err(io::Error::other)?;
            let length = self.writer.as_ref().map(|writer| writer.length + gathered);
            let full = length.is_none_or(|length| {
                length > 0 && length.saturating_add(header.record_bytes()) > pack_bytes
            });
            if full || records.len() >= WRITE_BYTES {
                self.write(&mut records, &mut coming, places)?;
            }
            if full {
                self.begin(packs)?;
            }
            let Some(writer) = &self.writer else {
                return Err(io::Error::other("no pack is open"));
            };
            let gathered = u32::try_from(records.len()).map_err(io::Error::other)?;
            let place = Place::of(writer.number, writer.length + gathered, header);
            coming.push((header.chunk.id, place));
            records.extend_from_slice(&header.encode());
            records.extend_from_slice(bytes);
        }
        self.write(&mut records, &mut coming, places)
    }

    fn begin(&mut self, packs: &Packs) -> io::Result<()> {
        let writer = packs.writer(self.next, 0)?;
        self.new_names = true;
        if self.ships {
            self.unshipped.insert(self.next, 0);
        }
        self.next += 1;
        self.writer = Some(writer);
        Ok(())
    }

    fn write(
        &mut self,
        records: &mut Vec<u8>,
        coming: &mut Vec<(ChunkId, Place)>,
        places: &mut Vec<(ChunkId, Place)>,
    ) -> io::Result<()> {
        let Some(writer) = self.writer.as_mut().filter(|_| !records.is_empty()) else {
            return Ok(());
        };
        let before = writer.length;
        writer.append(records)?;
        let grown = self.grown.entry(writer.number).or_insert((before, before));
        grown.1 = writer.length;
        if let Some(length) = self.unshipped.get_mut(&writer.number) {
            *length = writer.length;
        }
        self.unsynced.insert(writer.number);
        records.clear();
        places.append(coming);
        Ok(())
    }
}
