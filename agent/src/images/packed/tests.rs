use std::{io::Write as _, time::Instant};

use flate2::{Compression, write::GzEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

fn read(packed: Vec<u8>, packing: Packing) -> io::Result<Vec<u8>> {
    let size = packed.len() as u64;
    let mut bytes = Vec::new();
    layer(io::Cursor::new(packed), packing, size).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[test]
fn every_packing_comes_back() {
    let bytes: Vec<u8> = (0..300_000_u32)
        .flat_map(|number| (number % 977).to_le_bytes())
        .collect();
    assert_eq!(read(bytes.clone(), Packing::Plain).unwrap(), bytes);
    assert_eq!(read(gzip(&bytes), Packing::Gzip).unwrap(), bytes);
    assert_eq!(read(zstd(&bytes), Packing::Zstd).unwrap(), bytes);
    // In several pieces, as parallel programs write them, and with a frame that says nothing.
    let (a, b) = bytes.split_at(100_000);
    assert_eq!(
        read([gzip(a), gzip(b)].concat(), Packing::Gzip).unwrap(),
        bytes
    );
    let silent = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4];
    let frames = [zstd(a), silent.to_vec(), zstd(b), silent.to_vec()].concat();
    assert_eq!(read(frames, Packing::Zstd).unwrap(), bytes);
    for packing in [Packing::Gzip, Packing::Zstd] {
        let mut cut = if packing == Packing::Gzip {
            gzip(&bytes)
        } else {
            zstd(&bytes)
        };
        cut.truncate(cut.len() / 2);
        read(cut, packing).unwrap_err();
        read(b"neither of them".to_vec(), packing).unwrap_err();
    }
}

/// A few megabytes that unpack to gigabytes: given up at the bound, in memory that does not grow.
#[test]
fn bombs_are_given_up() {
    let zeros = vec![0; 16 << 20];
    let piece = gzip(&zeros);
    let bomb = piece.repeat(64);
    let begin = Instant::now();
    let size = bomb.len() as u64;
    let mut reader = layer(io::Cursor::new(bomb), Packing::Gzip, size);
    let mut read = 0_u64;
    let mut buffer = vec![0; 1 << 20];
    let error = loop {
        match reader.read(&mut buffer) {
            Ok(0) => panic!("all of {read} bytes came"),
            Ok(count) => read += count as u64,
            Err(error) => break error,
        }
    };
    let problem = super::super::tarball::unreadable(&error);
    assert!(problem.why.contains("200 times"), "{problem}");
    assert!(
        read <= (size * MAX_RATIO).max(FREE_BYTES),
        "{read} of {size} in {:?}",
        begin.elapsed()
    );
}

#[test]
fn a_frame_that_wants_much_memory_is_refused() {
    // A frame whose header asks for a window of 2 GiB, and an empty last block.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 1, 0, 0];
    let error = read(frame.to_vec(), Packing::Zstd).unwrap_err();
    assert!(
        error.to_string().to_lowercase().contains("window"),
        "{error}"
    );
}
