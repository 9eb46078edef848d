//! A file as chunks, cut where its content says, so that a change moves few of them (FastCDC, 2020).

use std::{
    fs::File,
    io::{self, Read},
};

use common::tree::{ChunkRef, MAX_CHUNK_BYTES, chunk_id};
use fastcdc::v2020::{Error, StreamCDC};

use super::beneath::Mark;

/// Files below this size are one chunk.
const MIN_CHUNK_BYTES: usize = 64 << 10;
const AVERAGE_CHUNK_BYTES: usize = 256 << 10;

/// Reads a file to its end.
///
/// # Errors
/// The file was changed while it was read, or cannot be read.
pub(super) fn chunks(file: &File, mark: &Mark) -> Result<Vec<ChunkRef>, ChunkError> {
    // One byte more than there should be, to see growth without reading for ever.
    let mut content = file.take(mark.size.saturating_add(1));
    let mut chunks = Vec::new();
    let mut total = 0;
    let mut add = |bytes: &[u8]| {
        total += bytes.len() as u64;
        let bytes_here = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        chunks.push(ChunkRef {
            id: chunk_id(bytes),
            bytes: bytes_here,
        });
    };
    if mark.size < MIN_CHUNK_BYTES as u64 {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        if !bytes.is_empty() {
            add(&bytes);
        }
    } else {
        let most = MAX_CHUNK_BYTES as usize;
        for chunk in StreamCDC::new(content, MIN_CHUNK_BYTES, AVERAGE_CHUNK_BYTES, most) {
            match chunk {
                Ok(chunk) => add(&chunk.data),
                Err(Error::Empty) => break,
                Err(Error::IoError(error)) => return Err(error.into()),
                Err(Error::Other(why)) => return Err(io::Error::other(why).into()),
            }
        }
    }
    if total != mark.size || Mark::of(file)? != *mark {
        return Err(ChunkError::Changed);
    }
    Ok(chunks)
}

/// Why a file is not in chunks.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChunkError {
    #[error("it was changed while it was read")]
    Changed,
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        file
    }

    fn cut(bytes: &[u8]) -> Vec<ChunkRef> {
        let file = file(bytes);
        chunks(&file, &Mark::of(&file).unwrap()).unwrap()
    }

    /// Bytes without a pattern, the same every time.
    fn noise(count: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn chunks_are_bounded_and_add_up() {
        assert!(cut(b"").is_empty());
        assert_eq!(cut(b"x").len(), 1);
        assert_eq!(cut(&noise(MIN_CHUNK_BYTES - 1)).len(), 1);
        for bytes in [noise(5 << 20), vec![0; 5 << 20], noise(MIN_CHUNK_BYTES)] {
            let chunks = cut(&bytes);
            let total: u64 = chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum();
            assert_eq!(total, bytes.len() as u64);
            assert!(
                chunks
                    .iter()
                    .all(|chunk| (1..=MAX_CHUNK_BYTES).contains(&chunk.bytes))
            );
        }
    }

    #[test]
    fn an_insertion_moves_few_chunks() {
        let before = noise(8 << 20);
        let mut after = before.clone();
        after.splice(1000..1000, *b"a few more bytes");
        let (before, after) = (cut(&before), cut(&after));
        let kept = after.iter().filter(|chunk| before.contains(chunk)).count();
        assert!(kept + 3 >= before.len(), "{kept} of {}", before.len());
    }

    #[test]
    fn growth_and_shrinking_while_reading_are_seen() {
        for (size, mark_of) in [(100_usize, 90_usize), (100, 110), (200_000, 199_999)] {
            let mark = Mark::of(&file(&noise(mark_of))).unwrap();
            let read = chunks(&file(&noise(size)), &mark);
            assert!(matches!(read, Err(ChunkError::Changed)), "{size} {mark_of}");
        }
    }
}
