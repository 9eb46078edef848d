//! A record of a pack: a chunk in its form, behind a header that says which chunk it is.
//!
//! 48 bytes before the piece: what it is, in which version (4), the piece's length with the top bit set where it is
//! compressed (4), the chunk's size (4) and id (32), and the beginning of the BLAKE3 of all that (4). Numbers are in
//! little-endian order. A pack is nothing but records, so that it can be read without the index.

use bytes::Bytes;
use common::{
    id::ChunkId,
    tree::{ChunkRef, MAX_CHUNK_BYTES},
};
use link::trees::{Piece, piece::Encoding};

pub(super) const HEADER_BYTES: u32 = 48;
/// Longest record.
pub(super) const MAX_RECORD_BYTES: u32 = HEADER_BYTES + MAX_CHUNK_BYTES;

const MAGIC: [u8; 4] = *b"CSP\x01";
const CHECKED_BYTES: usize = 44;
const COMPRESSED: u32 = 1 << 31;

/// What stands before a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) chunk: ChunkRef,
    pub(super) encoding: Encoding,
    /// Length of the piece that follows.
    pub(super) stored: u32,
}

impl Header {
    /// Returns the header of a piece.
    ///
    /// # Errors
    /// A form of the chunk that is never kept: longer than the chunk, or not as long as it says.
    pub(super) fn of(chunk: &ChunkRef, piece: &Piece) -> Result<Self, InvalidRecord> {
        let stored = u32::try_from(piece.bytes().len()).map_err(|_| InvalidRecord::Length)?;
        let header = Self {
            chunk: *chunk,
            encoding: piece.encoding(),
            stored,
        };
        header.check()?;
        Ok(header)
    }

    /// Returns the length of the whole record.
    pub(super) const fn record_bytes(&self) -> u32 {
        HEADER_BYTES + self.stored
    }

    pub(super) fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let mut bytes = [0; HEADER_BYTES as usize];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&form(self.encoding, self.stored).to_le_bytes());
        bytes[8..12].copy_from_slice(&self.chunk.bytes.to_le_bytes());
        bytes[12..CHECKED_BYTES].copy_from_slice(self.chunk.id.as_bytes());
        let sum = checksum(&bytes[..CHECKED_BYTES]);
        bytes[CHECKED_BYTES..].copy_from_slice(&sum);
        bytes
    }

    /// Reads the header at the beginning of `bytes`.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, InvalidRecord> {
        let (header, _) = bytes
            .split_first_chunk::<{ HEADER_BYTES as usize }>()
            .ok_or(InvalidRecord::Truncated)?;
        if header[..4] != MAGIC {
            return Err(InvalidRecord::Unknown);
        }
        if checksum(&header[..CHECKED_BYTES]) != header[CHECKED_BYTES..] {
            return Err(InvalidRecord::Checksum);
        }
        let (encoding, stored) = read_form(number(header, 4));
        let mut id = [0; 32];
        id.copy_from_slice(&header[12..CHECKED_BYTES]);
        let read = Self {
            chunk: ChunkRef {
                id: ChunkId::new(id),
                bytes: number(header, 8),
            },
            encoding,
            stored,
        };
        read.check()?;
        Ok(read)
    }

    fn check(&self) -> Result<(), InvalidRecord> {
        let whole = (1..=MAX_CHUNK_BYTES).contains(&self.chunk.bytes);
        let fits = match self.encoding {
            Encoding::Plain => self.stored == self.chunk.bytes,
            Encoding::Zstd => (1..self.chunk.bytes).contains(&self.stored),
        };
        (whole && fits).then_some(()).ok_or(InvalidRecord::Length)
    }
}

/// Takes the record at the beginning off `bytes`; nothing where there is none. Whether the piece is the chunk,
/// [`Piece::open`] says.
///
/// # Errors
/// There is no whole record.
pub(super) fn split(bytes: &mut Bytes) -> Result<(Header, Bytes), InvalidRecord> {
    let header = Header::decode(bytes)?;
    let length = header.record_bytes() as usize;
    if bytes.len() < length {
        return Err(InvalidRecord::Truncated);
    }
    let piece = bytes.split_to(length).split_off(HEADER_BYTES as usize);
    Ok((header, piece))
}

/// Returns a piece's length and form as one number.
pub(super) const fn form(encoding: Encoding, stored: u32) -> u32 {
    match encoding {
        Encoding::Plain => stored,
        Encoding::Zstd => stored | COMPRESSED,
    }
}

pub(super) const fn read_form(form: u32) -> (Encoding, u32) {
    if form & COMPRESSED == 0 {
        (Encoding::Plain, form)
    } else {
        (Encoding::Zstd, form & !COMPRESSED)
    }
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    let sum = common::tree::chunk_id(bytes);
    let mut beginning = [0; 4];
    beginning.copy_from_slice(&sum.as_bytes()[..4]);
    beginning
}

fn number(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidRecord {
    #[error("it is cut short")]
    Truncated,
    #[error("it is not of a version that this program knows")]
    Unknown,
    #[error("the checksum of its header does not match")]
    Checksum,
    #[error("its lengths cannot be")]
    Length,
}

#[cfg(test)]
mod tests {
    use common::tree::chunk_id;
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn record(plain: &[u8]) -> (ChunkRef, Vec<u8>) {
        let chunk = ChunkRef {
            id: chunk_id(plain),
            bytes: u32::try_from(plain.len()).unwrap(),
        };
        let piece = Piece::pack(Bytes::copy_from_slice(plain));
        let header = Header::of(&chunk, &piece).unwrap();
        (chunk, [&header.encode()[..], piece.bytes()].concat())
    }

    /// Whether there is no record at the beginning, and nothing was taken off.
    fn is_none(bytes: &[u8]) -> bool {
        let mut rest = Bytes::copy_from_slice(bytes);
        split(&mut rest).is_err() && rest == bytes
    }

    proptest! {
        #[test]
        fn a_record_comes_back(plain in prop::collection::vec(any::<u8>(), 1..3000), value in any::<u8>(), after in any::<u8>()) {
            for plain in [plain.clone(), vec![value; plain.len()]] {
                let (chunk, mut bytes) = record(&plain);
                let length = bytes.len();
                bytes.push(after);
                let mut rest = Bytes::from(bytes);
                let (header, piece) = split(&mut rest).unwrap();
                prop_assert_eq!((header.chunk, header.record_bytes() as usize), (chunk, length));
                prop_assert_eq!(&rest[..], &[after]);
                let piece = Piece::from_parts(header.encoding, piece);
                prop_assert_eq!(piece.open(&chunk).unwrap(), Bytes::from(plain));
            }
        }

        #[test]
        fn hostile_bytes_meet_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
            prop_assert!(is_none(&bytes));
            // Also behind a sound beginning, and with a sound checksum.
            let (_, whole) = record(&[7; 2000]);
            let mut changed = whole.clone();
            let at = at.index(HEADER_BYTES as usize);
            changed[at] ^= flip;
            prop_assert!(is_none(&changed));
            let sum = checksum(&changed[..CHECKED_BYTES]);
            changed[CHECKED_BYTES..HEADER_BYTES as usize].copy_from_slice(&sum);
            let mut rest = Bytes::from(changed.clone());
            if let Ok((header, piece)) = split(&mut rest) {
                prop_assert_eq!(header.record_bytes() as usize + rest.len(), changed.len());
                let piece = Piece::from_parts(header.encoding, piece);
                prop_assert!(changed == whole || piece.open(&header.chunk).is_err());
            }
        }
    }

    #[test]
    fn cut_anywhere_it_is_none() {
        let (_, bytes) = record(&[1, 2, 3]);
        for end in 0..bytes.len() {
            let mut cut = Bytes::copy_from_slice(&bytes[..end]);
            assert_eq!(split(&mut cut), Err(InvalidRecord::Truncated));
            assert_eq!(cut.len(), end, "nothing was taken off");
        }
    }

    #[test]
    fn a_form_longer_than_the_chunk_is_never_kept() {
        let chunk = ChunkRef {
            id: chunk_id(b"ab"),
            bytes: 2,
        };
        let long = Piece::from_parts(Encoding::Zstd, Bytes::from_static(b"abc"));
        assert_eq!(Header::of(&chunk, &long), Err(InvalidRecord::Length));
        let short = Piece::plain(Bytes::from_static(b"a"));
        assert_eq!(Header::of(&chunk, &short), Err(InvalidRecord::Length));
    }
}
