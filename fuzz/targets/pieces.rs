//! A frame of pieces, and what opens of them: exactly the chunk of that id, in no more memory than it has bytes.

#![no_main]

mod memory;

use bytes::{Buf as _, Bytes};
use common::{
    tree::{ChunkRef, MAX_CHUNK_BYTES, chunk_id},
    wire::frame::HEADER_BYTES,
};
use libfuzzer_sys::fuzz_target;
use link::trees::{Piece, piece::Encoding, pieces_frame, read_pieces};

/// Lists, errors and what is rounded up.
const BESIDE: usize = 64 << 10;

fuzz_target!(|bytes: &[u8]| {
    frame(bytes);
    // And as the one piece of a frame, in both forms.
    open(&Piece::from_parts(
        Encoding::Plain,
        Bytes::copy_from_slice(bytes),
    ));
    open(&Piece::from_parts(
        Encoding::Zstd,
        Bytes::copy_from_slice(bytes),
    ));
    packed(bytes);
});

/// Reads a frame; what is read, written again, is the frame.
fn frame(bytes: &[u8]) {
    let payload = Bytes::copy_from_slice(bytes);
    let read = memory::within(BESIDE + 16 * bytes.len(), || read_pieces(payload));
    let Ok(pieces) = read else {
        return;
    };
    assert!(!pieces.is_empty());
    let mut written = Vec::with_capacity(bytes.len());
    for (ordinal, piece) in pieces {
        written.extend_from_slice(&pieces_frame(ordinal, &piece)[HEADER_BYTES..]);
        open(&piece);
    }
    assert_eq!(written, bytes);
}

/// Opens a piece as the chunk that it is, if it is one, and as others that it is not.
fn open(piece: &Piece) {
    let plain = match piece.encoding() {
        Encoding::Plain => piece.bytes().to_vec(),
        Encoding::Zstd => {
            let most = MAX_CHUNK_BYTES as usize;
            zstd::bulk::decompress(piece.bytes(), most).unwrap_or_default()
        }
    };
    let Ok(size) = u32::try_from(plain.len()) else {
        return;
    };
    let chunk = ChunkRef {
        id: chunk_id(&plain),
        bytes: size,
    };
    let opened = memory::within(BESIDE + plain.len(), || piece.open(&chunk));
    if size > 0 {
        assert_eq!(opened.as_deref(), Ok(&plain[..]));
    }
    for other in [size.wrapping_sub(1), size + 1, 1, MAX_CHUNK_BYTES] {
        if other != size {
            let other = ChunkRef {
                bytes: other,
                ..chunk
            };
            let most = BESIDE + MAX_CHUNK_BYTES as usize;
            assert!(memory::within(most, || piece.open(&other)).is_err());
        }
    }
    let other = ChunkRef {
        id: chunk_id(piece.bytes().chunk()),
        bytes: size,
    };
    assert!(other.id == chunk.id || piece.open(&other).is_err());
}

/// Packs these bytes as a chunk: they come back.
fn packed(bytes: &[u8]) {
    let plain = Bytes::copy_from_slice(bytes);
    let piece = Piece::pack(plain.clone());
    assert!(piece.bytes().len() <= plain.len());
    let chunk = ChunkRef {
        id: chunk_id(&plain),
        bytes: plain.len() as u32,
    };
    assert_eq!(piece.open(&chunk), Ok(plain));
}
