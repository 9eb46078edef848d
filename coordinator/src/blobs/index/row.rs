//! Rows of the index.

use common::{id::TreeId, tree::ChunkRef, units::Bytes};
use link::trees::piece::Encoding;

use super::super::record::{HEADER_BYTES, Header, form, read_form};

pub(super) const ROW_BYTES: usize = 24;

/// Where a piece is: its record begins at `offset` of the pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Place {
    /// Never zero.
    pub(in super::super) pack: u32,
    pub(in super::super) offset: u32,
    pub(in super::super) stored: u32,
    pub(in super::super) encoding: Encoding,
    /// Size of the chunk.
    pub(in super::super) bytes: u32,
}

impl Place {
    pub(in super::super) fn of(pack: u32, offset: u32, header: &Header) -> Self {
        Self {
            pack,
            offset,
            stored: header.stored,
            encoding: header.encoding,
            bytes: header.chunk.bytes,
        }
    }

    pub(in super::super) const fn record_bytes(&self) -> u32 {
        HEADER_BYTES + self.stored
    }

    pub(in super::super) const fn end(&self) -> u32 {
        self.offset + self.record_bytes()
    }
}

/// A chunk's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Row {
    /// `None` where the piece was found damaged: trees may have it, and the next upload sends it anew.
    pub(in super::super) place: Option<Place>,
    /// How many trees have it, of those that are counted.
    pub(in super::super) references: u32,
    /// Under which minute it is among the idle ones, where no tree has it.
    pub(in super::super) since: u32,
}

impl Row {
    /// Returns where the chunk is, if it is here and as long as it should be.
    pub(in super::super) fn whole(&self, chunk: &ChunkRef) -> Option<Place> {
        self.place.filter(|place| place.bytes == chunk.bytes)
    }

    pub(super) fn encode(&self) -> [u8; ROW_BYTES] {
        let place = self.place.map_or([0; 4], |place| {
            let stored = form(place.encoding, place.stored);
            [place.pack, place.offset, stored, place.bytes]
        });
        let [pack, offset, stored, bytes] = place;
        let mut row = [0; ROW_BYTES];
        let numbers = [pack, offset, stored, bytes, self.references, self.since];
        for (at, number) in row.chunks_exact_mut(4).zip(numbers) {
            at.copy_from_slice(&number.to_le_bytes());
        }
        row
    }

    pub(super) fn decode(row: &[u8; ROW_BYTES]) -> Self {
        let number = |at: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&row[4 * at..4 * at + 4]);
            u32::from_le_bytes(bytes)
        };
        let (encoding, stored) = read_form(number(2));
        let place = Place {
            pack: number(0),
            offset: number(1),
            stored,
            encoding,
            bytes: number(3),
        };
        Self {
            place: (place.pack != 0).then_some(place),
            references: number(4),
            since: number(5),
        }
    }
}

/// A pack's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in super::super) struct Pack {
    /// So much of the file is on the disk and in the index. Zero for one that is about to be deleted.
    pub(in super::super) bytes: u32,
    /// So much of that are records of chunks that are here.
    pub(in super::super) live: u32,
}

impl Pack {
    pub(in super::super) const fn dead(&self) -> u32 {
        self.bytes.saturating_sub(self.live)
    }
}

impl From<(u32, u32)> for Pack {
    fn from((bytes, live): (u32, u32)) -> Self {
        Self { bytes, live }
    }
}

/// A tree that has lost its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Doomed {
    pub(in super::super) tree: TreeId,
    /// How many of its chunks have heard of it.
    pub(in super::super) heard: u32,
    /// How many of its chunks were counted; the largest number where all were.
    pub(in super::super) counted: u32,
}

/// A tree's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct TreeRow {
    pub(in super::super) bytes: Bytes,
    pub(in super::super) files: u64,
    /// Minute in which it was sealed.
    pub(in super::super) since: u32,
    /// Its description says nothing any more.
    pub(in super::super) damaged: bool,
}

impl From<(u64, u64, u32, bool)> for TreeRow {
    fn from((bytes, files, since, damaged): (u64, u64, u32, bool)) -> Self {
        Self {
            bytes: Bytes(bytes),
            files,
            since,
            damaged,
        }
    }
}
