//! Frames of pieces, as bytes: many small chunks at once, or one large one.

use std::mem;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use common::{
    tree::MAX_CHUNK_BYTES,
    wire::{
        DecodeError, Header, Kind,
        data::{PIECE_HEADER_BYTES, PIECE_IS_ZSTD, PIECES_BYTES},
        frame::CODEC_RAW,
    },
};

use super::{Piece, piece::Encoding};
use crate::frames::PIECES_VERSION;

/// Shorter pieces are copied to the frame: a part of their own would cost more.
const LEAST_PART_BYTES: usize = 8 << 10;
/// What is copied goes into memory of at most so many bytes at once, unless a piece has more.
const COPY_BYTES: usize = 16 << 10;

/// A frame as it lies in memory, from front to back.
pub(super) type Parts = Vec<Bytes>;

/// Writes frames, a new one wherever the last is full. Large pieces stay where they are.
#[derive(Debug, Default)]
pub(super) struct PiecesWriter {
    full: Vec<Parts>,
    /// The first is for the header.
    parts: Parts,
    /// What follows the parts.
    copied: BytesMut,
    /// Of the frame so far, without its header.
    bytes: usize,
}

impl PiecesWriter {
    /// Adds a piece, which has at most a chunk's bytes.
    pub(super) fn push(&mut self, ordinal: u32, piece: &Piece) {
        let bytes = piece.bytes();
        let whole = PIECE_HEADER_BYTES + bytes.len();
        if self.bytes + whole > PIECES_BYTES as usize {
            self.end_frame();
        }
        if self.bytes == 0 {
            self.parts.push(Bytes::new());
        }
        let stays = bytes.len() >= LEAST_PART_BYTES;
        self.make_room(if stays { PIECE_HEADER_BYTES } else { whole });
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let flag = match piece.encoding() {
            Encoding::Plain => 0,
            Encoding::Zstd => PIECE_IS_ZSTD,
        };
        self.copied.put_u32(ordinal);
        self.copied.put_u32(length | flag);
        if stays {
            self.parts.push(self.copied.split().freeze());
            self.parts.push(bytes.clone());
        } else {
            self.copied.extend_from_slice(bytes);
        }
        self.bytes += whole;
    }

    /// Returns the frames, in order.
    pub(super) fn finish(mut self) -> Vec<Parts> {
        self.end_frame();
        self.full
    }

    /// Sees to it that so much can be copied without what was copied being moved.
    fn make_room(&mut self, bytes: usize) {
        if self.copied.capacity() - self.copied.len() < bytes {
            // It stays until all of it was received: for a small frame it is as small.
            let room = bytes.max(self.bytes.min(COPY_BYTES));
            let copied = mem::replace(&mut self.copied, BytesMut::with_capacity(room));
            self.parts.push(copied.freeze());
        }
    }

    fn end_frame(&mut self) {
        let length = u32::try_from(mem::take(&mut self.bytes)).unwrap_or(u32::MAX);
        let header = Header {
            length,
            codec: CODEC_RAW,
            kind: Kind::Pieces,
            version: PIECES_VERSION,
        };
        let mut parts = mem::take(&mut self.parts);
        parts.push(self.copied.split().freeze());
        if let Some(first) = parts.first_mut().filter(|_| length > 0) {
            *first = Bytes::copy_from_slice(&header.to_bytes());
            parts.retain(|part| !part.is_empty());
            self.full.push(parts);
        }
    }
}

/// Returns the frame of one piece, for whoever sends them one by one.
pub fn pieces_frame(ordinal: u32, piece: &Piece) -> Bytes {
    let mut writer = PiecesWriter::default();
    writer.push(ordinal, piece);
    writer.finish().concat().concat().into()
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

    use common::wire::frame::HEADER_BYTES;

    use super::*;

    fn write(pieces: &[(u32, Piece)]) -> Vec<Bytes> {
        let mut writer = PiecesWriter::default();
        for (ordinal, piece) in pieces {
            writer.push(*ordinal, piece);
        }
        let frames = writer.finish();
        frames.iter().map(|parts| parts.concat().into()).collect()
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

    #[test]
    fn large_pieces_stay_where_they_are_and_small_ones_share_memory() {
        let large: Vec<Piece> = (0..20)
            .map(|_| Piece::plain(vec![7; 12_000].into()))
            .collect();
        let small: Vec<Piece> = (0..200).map(|_| Piece::plain(vec![8; 50].into())).collect();
        let parts = |pieces: &[Piece]| {
            let mut writer = PiecesWriter::default();
            pieces.iter().for_each(|piece| writer.push(1, piece));
            writer.finish().concat()
        };
        let stay = parts(&large);
        let is_part = |piece: &Piece| {
            stay.iter()
                .any(|part| part.as_ptr() == piece.bytes().as_ptr())
        };
        assert!(large.iter().all(is_part));
        let together = parts(&small);
        assert!(together.len() <= 12, "{}", together.len());
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
