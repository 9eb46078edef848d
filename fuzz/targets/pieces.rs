//! A frame of pieces, and what opens of them.

#![no_main]

use common::tree::{ChunkRef, MAX_CHUNK_BYTES, chunk_id};
use libfuzzer_sys::fuzz_target;
use link::trees::read_pieces;

fuzz_target!(|bytes: &[u8]| {
    let Ok(pieces) = read_pieces(bytes.to_vec().into()) else {
        return;
    };
    assert!(!pieces.is_empty());
    for (ordinal, piece) in pieces {
        let chunk = ChunkRef {
            id: chunk_id(piece.bytes()),
            bytes: 1 + ordinal % MAX_CHUNK_BYTES,
        };
        if let Ok(plain) = piece.open(&chunk) {
            assert_eq!(plain.len(), chunk.bytes as usize);
        }
    }
});
