//! Frames of pieces, as bytes: many small chunks at once, or one large one.

use bytes::{Buf as _, Bytes};
use common::{
    tree::MAX_CHUNK_BYTES,
    wire::{
        DecodeError, Header, Kind,
        data::{PIECE_HEADER_BYTES, PIECE_IS_ZSTD, PIECES_BYTES},
        frame::{CODEC_RAW, HEADER_BYTES},
    },
};

use super::{Piece, piece::Encoding};
use crate::frames::PIECES_VERSION;

/// Writes frames, a new one wherever the last is full.
#[derive(Debug, Default)]
pub(super) struct PiecesWriter {
    full: Vec<Bytes>,
    frame: Vec<u8>,
}

impl PiecesWriter {
    /// Adds a piece, which has at most a chunk's bytes.
    pub(super) fn push(&mut self, ordinal: u32, piece: &Piece, expected_bytes: u64) {
        let whole = PIECE_HEADER_BYTES + piece.bytes().len();
        if self.frame.len() + whole > HEADER_BYTES + PIECES_BYTES as usize {
            self.end_frame();
        }
        if self.frame.is_empty() {
            let expected = usize::try_from(expected_bytes).unwrap_or(usize::MAX);
            let room = expected.clamp(whole, PIECES_BYTES as usize);
            self.frame.reserve(HEADER_BYTES + room);
            self.frame.extend_from_slice(&[0; HEADER_BYTES]);
        }
        let length = u32::try_from(piece.bytes().len()).unwrap_or(u32::MAX);
        let flag = match piece.encoding() {
            Encoding::Plain => 0,
            Encoding::Zstd => PIECE_IS_ZSTD,
        };
        self.frame.extend_from_slice(&ordinal.to_be_bytes());
        self.frame.extend_from_slice(&(length | flag).to_be_bytes());
        self.frame.extend_from_slice(piece.bytes());
    }

    /// Returns the frames, in order.
    pub(super) fn finish(mut self) -> Vec<Bytes> {
        if !self.frame.is_empty() {
            self.end_frame();
        }
        self.full
    }

    fn end_frame(&mut self) {
        let mut frame = std::mem::take(&mut self.frame);
        let header = Header {
            length: u32::try_from(frame.len() - HEADER_BYTES).unwrap_or(u32::MAX),
            codec: CODEC_RAW,
            kind: Kind::Pieces,
            version: PIECES_VERSION,
        };
        frame[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
        self.full.push(frame.into());
    }
}

/// Returns the frame of one piece, for whoever sends them one by one.
pub fn pieces_frame(ordinal: u32, piece: &Piece) -> Bytes {
    let mut writer = PiecesWriter::default();
    writer.push(ordinal, piece, 0);
    writer.finish().pop().unwrap_or_default()
}

/// Reads a frame's payload: at least one piece, each with its ordinal. None of them was checked.
///
/// # Errors
/// The bytes are not pieces.
pub fn read_pieces(mut payload: Bytes) -> Result<Vec<(u32, Piece)>, DecodeError> {
    let malformed = |reason: &str| DecodeError::Malformed {
        kind: Kind::Pieces,
        reason: reason.to_owned(),
    };
    let mut pieces = Vec::new();
    while !payload.is_empty() {
        if payload.len() < PIECE_HEADER_BYTES {
            return Err(malformed("it is cut short"));
        }
        let (ordinal, length) = (payload.get_u32(), payload.get_u32());
        let (encoding, length) = match length & PIECE_IS_ZSTD {
            0 => (Encoding::Plain, length),
            flag => (Encoding::Zstd, length ^ flag),
        };
        if !(1..=MAX_CHUNK_BYTES).contains(&length) {
            return Err(malformed("a piece has an impossible length"));
        }
        if payload.len() < length as usize {
            return Err(malformed("a piece is cut short"));
        }
        let bytes = payload.split_to(length as usize);
        pieces.push((ordinal, Piece::from_parts(encoding, bytes)));
    }
    if pieces.is_empty() {
        return Err(malformed("it has no piece"));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn write(pieces: &[(u32, Piece)]) -> Vec<Bytes> {
        let mut writer = PiecesWriter::default();
        for (ordinal, piece) in pieces {
            writer.push(*ordinal, piece, 0);
        }
        writer.finish()
    }

    #[test]
    fn frames_are_bounded_and_the_largest_chunk_fits() {
        let of = |size: u32| Piece::plain(vec![7; size as usize].into());
        for sizes in [vec![MAX_CHUNK_BYTES; 3], vec![70_000; 100], vec![1; 5]] {
            let pieces: Vec<_> = (0..).zip(sizes.iter().map(|size| of(*size))).collect();
            let frames = write(&pieces);
            let mut back = Vec::new();
            for frame in frames {
                assert!(frame.len() <= HEADER_BYTES + PIECES_BYTES as usize);
                back.extend(read_pieces(frame.slice(HEADER_BYTES..)).unwrap());
            }
            assert_eq!(back, pieces);
        }
    }

    proptest! {
        #[test]
        fn pieces_come_back_and_cut_ones_are_errors(
            pieces in prop::collection::vec(
                (any::<u32>(), any::<bool>(), prop::collection::vec(any::<u8>(), 1..50)), 1..8,
            ),
            cut in any::<prop::sample::Index>(),
        ) {
            let pieces: Vec<(u32, Piece)> = pieces.into_iter().map(|(ordinal, zstd, bytes)| {
                let encoding = if zstd { Encoding::Zstd } else { Encoding::Plain };
                (ordinal, Piece::from_parts(encoding, bytes.into()))
            }).collect();
            let payload = write(&pieces).concat()[HEADER_BYTES..].to_vec();
            prop_assert_eq!(read_pieces(payload.clone().into()).unwrap(), &pieces[..]);
            let cut = cut.index(payload.len());
            if let Ok(fewer) = read_pieces(payload[..cut].to_vec().into()) {
                prop_assert!(fewer.len() < pieces.len());
            }
        }

        #[test]
        fn hostile_payloads_are_an_error_or_pieces(bytes: Vec<u8>) {
            let _any = read_pieces(bytes.into());
        }
    }
}
