//! A pack of the coordinator's store, as somebody may have damaged it: what is read of it is exactly what was written.

#![no_main]

mod memory;
// The file itself, so that the whole coordinator need not be built with coverage.
#[path = "../../coordinator/src/blobs/record.rs"]
mod record;

use bytes::Bytes;
use common::tree::{ChunkRef, MAX_CHUNK_BYTES, chunk_id};
use libfuzzer_sys::fuzz_target;
use link::trees::Piece;

use self::record::{HEADER_BYTES, Header, MAX_RECORD_BYTES, split};

/// What of a header its checksum is of.
const SUMMED_BYTES: usize = HEADER_BYTES as usize - 4;

fuzz_target!(|bytes: &[u8]| {
    walk(Bytes::copy_from_slice(bytes));
    // With the beginning of a header and its checksum made to match.
    let mut made = [b"CSP\x01", bytes].concat();
    sum(&mut made);
    walk(made.into());
    changed(bytes);
});

/// Reads a pack from front to back; returns the chunks that are whole in it.
fn walk(mut pack: Bytes) -> Vec<ChunkRef> {
    let mut whole = Vec::new();
    loop {
        let before = pack.clone();
        // Nothing is copied.
        let Ok((header, piece)) = memory::within(1024, || split(&mut pack)) else {
            assert_eq!(pack, before);
            return whole;
        };
        let length = header.record_bytes() as usize;
        assert!(length <= MAX_RECORD_BYTES as usize);
        assert_eq!(pack.len() + length, before.len());
        assert_eq!([&header.encode()[..], &piece].concat(), before[..length]);
        let piece = Piece::from_parts(header.encoding, piece);
        assert_eq!(Header::of(&header.chunk, &piece), Ok(header));
        let most = (64 << 10) + MAX_CHUNK_BYTES as usize;
        if let Ok(plain) = memory::within(most, || piece.open(&header.chunk)) {
            assert_eq!(plain.len(), header.chunk.bytes as usize);
            assert_eq!(chunk_id(&plain), header.chunk.id);
            whole.push(header.chunk);
        }
    }
}

/// Writes a pack of the chunks that these bytes make up, changes a byte, and reads that: no chunk is whole that was not
/// written.
fn changed(bytes: &[u8]) {
    let Some(([low, high, flip, each], bytes)) = bytes.split_first_chunk::<4>() else {
        return;
    };
    let (mut pack, mut chunks) = (Vec::new(), Vec::new());
    // Some are repeated until they compress.
    for plain in bytes.chunks(usize::from(*each) + 1).take(16) {
        let plain = plain.repeat(1 + 40 * usize::from(plain[0] % 2));
        let chunk = ChunkRef {
            id: chunk_id(&plain),
            bytes: plain.len() as u32,
        };
        let piece = Piece::pack(plain.into());
        let header = Header::of(&chunk, &piece).expect("it was packed here");
        pack.extend_from_slice(&header.encode());
        pack.extend_from_slice(piece.bytes());
        chunks.push(chunk);
    }
    assert_eq!(walk(pack.clone().into()), chunks);
    let at = usize::from(u16::from_le_bytes([*low, *high]));
    if let Some(byte) = pack.get_mut(at) {
        *byte ^= flip;
        // A header's checksum is no secret.
        if at < SUMMED_BYTES {
            sum(&mut pack);
        }
    }
    for chunk in walk(pack.into()) {
        assert!(chunks.contains(&chunk));
    }
}

fn sum(record: &mut [u8]) {
    if let Some((summed, rest)) = record.split_at_mut_checked(SUMMED_BYTES)
        && let Some(sum) = rest.first_chunk_mut::<4>()
    {
        sum.copy_from_slice(&chunk_id(summed).as_bytes()[..4]);
    }
}
