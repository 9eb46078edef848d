//! Records on their way to the end of the pack that grows.

use std::io::{self, IoSlice};

use bytes::Bytes;
use common::id::ChunkId;

use super::{
    super::{
        Limits,
        index::Place,
        packs::Packs,
        record::{HEADER_BYTES, Header},
    },
    Written,
};

/// Records that are written with one call of the system, about.
const WRITE_BYTES: u32 = 4 << 20;

/// Records that are to be written together. The pieces stay where they are in memory.
#[derive(Default)]
struct Gathered<'a> {
    records: Vec<([u8; HEADER_BYTES as usize], &'a [u8])>,
    bytes: u32,
    places: Vec<(ChunkId, Place)>,
}

impl Written {
    /// Writes records, and notes in `places` those that were written even where it fails.
    pub(super) fn append<'a>(
        &mut self,
        packs: &Packs,
        limits: Limits,
        pieces: impl Iterator<Item = &'a (Header, Bytes)>,
        places: &mut Vec<(ChunkId, Place)>,
    ) -> io::Result<()> {
        let pack_bytes = match self.ships {
            true => limits.shipped_bytes,
            false => limits.pack_bytes,
        };
        let mut gathered = Gathered::default();
        for (header, bytes) in pieces {
            let length = self.writer.as_ref().map(|writer| writer.length);
            let length = length.map(|length| length + gathered.bytes);
            let full = length.is_none_or(|length| {
                length > 0 && length.saturating_add(header.record_bytes()) > pack_bytes
            });
            if full || gathered.bytes >= WRITE_BYTES {
                self.write(&mut gathered, places)?;
            }
            if full {
                self.begin(packs)?;
            }
            let Some(writer) = &self.writer else {
                return Err(io::Error::other("no pack is open"));
            };
            let place = Place::of(writer.number, writer.length + gathered.bytes, header);
            gathered.places.push((header.chunk.id, place));
            gathered.records.push((header.encode(), bytes));
            gathered.bytes += header.record_bytes();
        }
        self.write(&mut gathered, places)
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
        gathered: &mut Gathered<'_>,
        places: &mut Vec<(ChunkId, Place)>,
    ) -> io::Result<()> {
        let Some(writer) = self.writer.as_mut().filter(|_| gathered.bytes > 0) else {
            return Ok(());
        };
        let before = writer.length;
        let records = gathered.records.iter();
        let parts = records.flat_map(|(header, piece)| [IoSlice::new(header), IoSlice::new(piece)]);
        writer.append(&mut parts.collect::<Vec<_>>())?;
        let grown = self.grown.entry(writer.number).or_insert((before, before));
        grown.1 = writer.length;
        if let Some(length) = self.unshipped.get_mut(&writer.number) {
            *length = writer.length;
        }
        self.unsynced.insert(writer.number);
        gathered.records.clear();
        gathered.bytes = 0;
        places.append(&mut gathered.places);
        Ok(())
    }
}
