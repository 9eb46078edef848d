//! A file as chunks, cut where its content says, so that a change moves few of them (FastCDC, 2020).

use std::{
    fs::File,
    io::{self, Read},
};

use bytes::Bytes as Buffer;
use common::{
    tree::{ChunkRef, MAX_CHUNK_BYTES, chunk_ids},
    units::Bytes,
};
use fastcdc::v2020::{Normalization, cut as next_cut, select_masks};

use super::beneath::Mark;

/// A file is read so many bytes at a time; a chunk is a part of what was read.
const READ_BYTES: usize = 1 << 20;

/// Between which sizes chunks are cut. Small ones find more that is there already; large ones keep the list of a huge
/// folder short. The classes are part of what makes two uploads of the same folder equal.
///
/// A file is only looked at behind the least size of a chunk: the larger that is, the less work cutting is. As large as
/// what is called the average, chunks are half as large again on average, cut twice as fast, and find nearly as much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    least: usize,
    average: usize,
    most: usize,
}

impl Sizes {
    /// Returns the sizes for a folder with so many bytes in all.
    pub(super) const fn of_folder(total: Bytes) -> Self {
        const KIB: usize = 1 << 10;
        const GIB: u64 = 1 << 30;
        let (least, average, most) = if total.0 <= 8 * GIB {
            (8 * KIB, 8 * KIB, 64 * KIB)
        } else if total.0 <= 64 * GIB {
            (16 * KIB, 16 * KIB, 64 * KIB)
        } else if total.0 <= 256 * GIB {
            (64 * KIB, 64 * KIB, 256 * KIB)
        } else {
            (256 * KIB, 256 * KIB, MAX_CHUNK_BYTES as usize)
        };
        Self {
            least,
            average,
            most,
        }
    }
}

/// Reads a file to its end and hands over its chunks in order, each with its bytes.
///
/// # Errors
/// The file was changed while it was read, or cannot be read; what `each` says.
pub(super) fn cut<E: From<ChunkError>>(
    file: &File,
    mark: &Mark,
    sizes: Sizes,
    mut each: impl FnMut(ChunkRef, Buffer) -> Result<(), E>,
) -> Result<(), E> {
    let (small, large) = select_masks(sizes.average, Normalization::Level1);
    // One byte more than there should be, to see growth without reading for ever.
    let mut content = file.take(mark.size.saturating_add(1));
    let mut total = 0_u64;
    let mut rest = Buffer::new();
    loop {
        let (buffer, ended) =
            fill(&mut content, &rest, mark.size - total.min(mark.size)).map_err(ChunkError::Io)?;
        rest = buffer;
        let mut cuts = Vec::with_capacity(rest.len() / sizes.least + 1);
        // What is left may go on, unless this was the end.
        while rest.len() >= sizes.most || (ended && !rest.is_empty()) {
            let (least, average, most) = (sizes.least, sizes.average, sizes.most);
            let (_, at) = next_cut(
                &rest,
                least,
                average,
                most,
                small,
                large,
                small << 1,
                large << 1,
            );
            cuts.push(rest.split_to(at.clamp(1, rest.len())));
        }
        let contents: Vec<&[u8]> = cuts.iter().map(|bytes| &bytes[..]).collect();
        for (id, bytes) in chunk_ids(&contents).into_iter().zip(cuts) {
            total += bytes.len() as u64;
            let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            each(ChunkRef { id, bytes: size }, bytes)?;
        }
        if ended {
            break;
        }
    }
    if total != mark.size || Mark::of(file).map_err(ChunkError::Io)? != *mark {
        return Err(ChunkError::Changed.into());
    }
    Ok(())
}

/// Returns `rest` and what follows it, and whether that is the end.
fn fill(content: &mut impl Read, rest: &Buffer, left: u64) -> io::Result<(Buffer, bool)> {
    // A small file gets no more memory than it needs, and one byte that tells its end.
    let unread = left.saturating_sub(rest.len() as u64) + 1;
    let more = usize::try_from(unread).map_or(READ_BYTES, |more| more.min(READ_BYTES));
    let mut buffer = Vec::with_capacity(rest.len() + more);
    buffer.extend_from_slice(rest);
    let read = content.take(more as u64).read_to_end(&mut buffer)?;
    Ok((buffer.into(), read < more))
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

    use common::tree::chunk_id;

    use super::*;

    const SMALL: Sizes = Sizes::of_folder(Bytes(0));

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        file
    }

    fn chunks(file: &File, mark: &Mark, sizes: Sizes) -> Result<Vec<ChunkRef>, ChunkError> {
        let mut chunks = Vec::new();
        cut(file, mark, sizes, |chunk, bytes| {
            assert_eq!(chunk_id(&bytes), chunk.id);
            chunks.push(chunk);
            Ok::<_, ChunkError>(())
        })?;
        Ok(chunks)
    }

    fn cut_all(bytes: &[u8]) -> Vec<ChunkRef> {
        let file = file(bytes);
        chunks(&file, &Mark::of(&file).unwrap(), SMALL).unwrap()
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
        assert!(cut_all(b"").is_empty());
        assert_eq!(cut_all(b"x").len(), 1);
        assert_eq!(cut_all(&noise(SMALL.least)).len(), 1);
        for bytes in [
            noise(5 << 20),
            vec![0; 5 << 20],
            noise(READ_BYTES),
            noise(SMALL.most),
        ] {
            let chunks = cut_all(&bytes);
            let total: u64 = chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum();
            assert_eq!(total, bytes.len() as u64);
            let fits = |chunk: &ChunkRef| (1..=SMALL.most).contains(&(chunk.bytes as usize));
            assert!(chunks.iter().all(fits));
        }
    }

    #[test]
    fn where_a_file_is_cut_does_not_depend_on_how_it_is_read() {
        for total in [0, 9 << 30, 70 << 30, 300 << 30] {
            let sizes = Sizes::of_folder(Bytes(total));
            let bytes = noise(9 << 20);
            let read = file(&bytes);
            let got = chunks(&read, &Mark::of(&read).unwrap(), sizes).unwrap();
            let (least, average, most) = (sizes.least, sizes.average, sizes.most);
            let whole = fastcdc::v2020::FastCDC::new(&bytes, least, average, most);
            let lengths: Vec<usize> = whole.map(|chunk| chunk.length).collect();
            let got: Vec<usize> = got.iter().map(|chunk| chunk.bytes as usize).collect();
            assert_eq!(got, lengths);
        }
    }

    #[test]
    fn an_insertion_moves_few_chunks() {
        let before = noise(8 << 20);
        let mut after = before.clone();
        after.splice(1000..1000, *b"a few more bytes");
        let (before, after) = (cut_all(&before), cut_all(&after));
        let kept = after.iter().filter(|chunk| before.contains(chunk)).count();
        assert!(kept + 3 >= before.len(), "{kept} of {}", before.len());
    }

    #[test]
    fn growth_and_shrinking_while_reading_are_seen() {
        for (size, mark_of) in [(100_usize, 90_usize), (100, 110), (200_000, 199_999)] {
            let mark = Mark::of(&file(&noise(mark_of))).unwrap();
            let read = chunks(&file(&noise(size)), &mark, SMALL);
            assert!(matches!(read, Err(ChunkError::Changed)), "{size} {mark_of}");
        }
    }
}
