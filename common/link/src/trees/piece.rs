//! A chunk as it is kept and as it travels: its own bytes, or compressed where that saves enough.
//!
//! The form is chosen once, by whoever cuts the file, and stays: what arrived compressed is stored and sent on as it
//! is. A chunk's id is always that of its own bytes, so the form says nothing about identity.

use std::cell::RefCell;

use bytes::Bytes;
use common::tree::{ChunkRef, MAX_CHUNK_BYTES, chunk_id, chunk_ids};
use zstd::bulk::{Compressor, Decompressor};

/// Shorter chunks are kept as they are.
const LEAST_BYTES: usize = 512;
/// So much from the middle of a chunk is tried first: most of what does not compress is known by that.
const SAMPLE_BYTES: usize = 4 << 10;
/// Compressed bytes must save at least one part in so many, or reading them is not worth it.
const SAVE_PART: usize = 16;
const LEVEL: i32 = 1;
/// Chunks are checked together until they have so many bytes.
const CHECKED_BYTES: usize = 1 << 20;
/// After so many chunks in a row that did not shrink, one of [`TRY_ONE_OF`] is tried.
const MISSES: u32 = 4;
const TRY_ONE_OF: u32 = 8;

/// In which form a chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Plain,
    Zstd,
}

/// A chunk in its form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    encoding: Encoding,
    bytes: Bytes,
}

thread_local! {
    // Setting one up costs more than a small chunk.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

impl Piece {
    /// Compresses a chunk's own bytes, if that pays.
    pub fn pack(plain: Bytes) -> Self {
        match compress(&plain) {
            Some(bytes) => Self {
                encoding: Encoding::Zstd,
                bytes: bytes.into(),
            },
            None => Self::plain(plain),
        }
    }

    pub const fn plain(bytes: Bytes) -> Self {
        Self {
            encoding: Encoding::Plain,
            bytes,
        }
    }

    /// What came from elsewhere; [`Piece::open`] says whether it is what it should be.
    pub const fn from_parts(encoding: Encoding, bytes: Bytes) -> Self {
        Self { encoding, bytes }
    }

    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Returns the bytes in this form.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the chunk's own bytes, checked against its size and id. Allocates no more than the chunk's size.
    ///
    /// # Errors
    /// It is not that chunk.
    pub fn open(&self, chunk: &ChunkRef) -> Result<Bytes, Damaged> {
        let plain = self.unpack(chunk)?;
        match chunk_id(&plain) == chunk.id {
            true => Ok(plain),
            false => Err(Damaged),
        }
    }

    /// As [`Piece::open`] of each, which is faster for many together; all of them are in memory then, so whoever calls
    /// knows how large they may be.
    ///
    /// # Errors
    /// The position of one that is not its chunk.
    pub fn open_all<'a>(
        pieces: impl ExactSizeIterator<Item = (&'a ChunkRef, &'a Self)> + Clone,
    ) -> Result<Vec<Bytes>, usize> {
        let unpacked = pieces.clone().enumerate();
        let unpacked =
            unpacked.map(|(at, (chunk, piece))| piece.unpack(chunk).map_err(|Damaged| at));
        let plain = unpacked.collect::<Result<Vec<_>, usize>>()?;
        match first_other(&plain, pieces.map(|(chunk, _)| chunk)) {
            Some(at) => Err(at),
            None => Ok(plain),
        }
    }

    /// Checks that each is its chunk, some at once. Holds little more than a mebibyte and the largest chunk,
    /// whatever they claim to be.
    ///
    /// # Errors
    /// The position of one that is not.
    pub fn check_all<'a>(
        pieces: impl Iterator<Item = (&'a ChunkRef, &'a Self)>,
    ) -> Result<(), usize> {
        let (mut plain, mut chunks) = (Vec::new(), Vec::new());
        let (mut held, mut checked) = (0, 0);
        let mut pieces = pieces.peekable();
        while let Some((chunk, piece)) = pieces.next() {
            let unpacked = piece.unpack(chunk);
            plain.push(unpacked.map_err(|Damaged| checked + plain.len())?);
            chunks.push(chunk);
            held += chunk.bytes as usize;
            if held >= CHECKED_BYTES || pieces.peek().is_none() {
                if let Some(at) = first_other(&plain, chunks.drain(..)) {
                    return Err(checked + at);
                }
                checked += plain.len();
                plain.clear();
                held = 0;
            }
        }
        Ok(())
    }

    /// Returns the bytes that are as many as the chunk's.
    fn unpack(&self, chunk: &ChunkRef) -> Result<Bytes, Damaged> {
        let size = chunk.bytes.min(MAX_CHUNK_BYTES) as usize;
        let plain = match self.encoding {
            Encoding::Plain => self.bytes.clone(),
            Encoding::Zstd => decompress(&self.bytes, size)?.into(),
        };
        match plain.len() == chunk.bytes as usize {
            true => Ok(plain),
            false => Err(Damaged),
        }
    }
}

/// Returns the position of the first bytes that are another chunk's.
fn first_other<'a>(plain: &[Bytes], chunks: impl Iterator<Item = &'a ChunkRef>) -> Option<usize> {
    let contents: Vec<&[u8]> = plain.iter().map(|bytes| &bytes[..]).collect();
    let mut ids = chunk_ids(&contents).into_iter().zip(chunks);
    ids.position(|(id, chunk)| id != chunk.id)
}

/// Packs the chunks of one folder, one after the other: after a few that did not shrink, only some are tried.
#[derive(Debug, Default)]
pub struct Packer {
    /// How many in a row did not shrink.
    missed: u32,
}

impl Packer {
    pub fn pack(&mut self, plain: Bytes) -> Piece {
        if self.missed > MISSES && !self.missed.is_multiple_of(TRY_ONE_OF) {
            self.missed += 1;
            return Piece::plain(plain);
        }
        let piece = Piece::pack(plain);
        self.missed = match piece.encoding() {
            Encoding::Plain => self.missed + 1,
            Encoding::Zstd => 0,
        };
        piece
    }
}

fn compress(plain: &[u8]) -> Option<Vec<u8>> {
    if plain.len() < LEAST_BYTES {
        return None;
    }
    COMPRESSOR.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = Compressor::new(LEVEL).ok();
        }
        let compressor = kept.as_mut()?;
        if plain.len() > 2 * SAMPLE_BYTES {
            let from = (plain.len() - SAMPLE_BYTES) / 2;
            pays(compressor, &plain[from..from + SAMPLE_BYTES])?;
        }
        pays(compressor, plain)
    })
}

/// Returns the compressed bytes if there are few enough.
fn pays(compressor: &mut Compressor<'_>, plain: &[u8]) -> Option<Vec<u8>> {
    let bytes = compressor.compress(plain).ok()?;
    (bytes.len() <= plain.len() - plain.len() / SAVE_PART).then_some(bytes)
}

fn decompress(bytes: &[u8], size: usize) -> Result<Vec<u8>, Damaged> {
    DECOMPRESSOR.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = Decompressor::new().ok();
        }
        let decompressor = kept.as_mut().ok_or(Damaged)?;
        decompressor.decompress(bytes, size).map_err(|_| Damaged)
    })
}

/// The bytes are not the chunk that they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it does not match its checksum")]
pub struct Damaged;

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn chunk(bytes: &[u8]) -> ChunkRef {
        ChunkRef {
            id: chunk_id(bytes),
            bytes: u32::try_from(bytes.len()).unwrap(),
        }
    }

    /// Bytes of few values compress, those of all values do not.
    fn contents() -> impl Strategy<Value = Vec<u8>> {
        (1..=255_u8, 0..40_000_usize, any::<u64>()).prop_map(|(values, size, seed)| {
            let mut state = seed | 1;
            let mut next = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[3] % values
            };
            (0..size).map(|_| next()).collect()
        })
    }

    proptest! {
        #[test]
        fn what_is_packed_opens_as_it_was_and_is_never_longer(bytes in contents()) {
            let piece = Piece::pack(Bytes::from(bytes.clone()));
            prop_assert!(piece.bytes().len() <= bytes.len());
            prop_assert_eq!(piece.open(&chunk(&bytes)), Ok(Bytes::from(bytes)));
        }

        #[test]
        fn no_byte_can_be_changed_unseen(bytes in contents(), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
            proptest::prop_assume!(!bytes.is_empty());
            let piece = Piece::pack(Bytes::from(bytes.clone()));
            let mut changed = piece.bytes().to_vec();
            let at = at.index(changed.len());
            changed[at] ^= flip;
            let changed = Piece::from_parts(piece.encoding(), changed.into());
            // A bit that the decoder ignores may change; then the content is the same.
            if let Ok(opened) = changed.open(&chunk(&bytes)) {
                prop_assert_eq!(opened, Bytes::from(bytes));
                prop_assert!(piece.encoding() == Encoding::Zstd);
            }
        }
    }

    #[test]
    fn repeated_bytes_shrink_and_noise_stays() {
        let zeros = Piece::pack(Bytes::from(vec![0; 100_000]));
        assert_eq!(zeros.encoding(), Encoding::Zstd);
        assert!(zeros.bytes().len() < 100);
        let noise: Vec<u8> = (0..10_000_u32)
            .flat_map(|i| *chunk_id(&i.to_le_bytes()).as_bytes())
            .collect();
        assert_eq!(Piece::pack(noise.into()).encoding(), Encoding::Plain);
    }

    #[test]
    fn of_many_the_one_that_is_another_chunk_is_named() {
        let contents: Vec<Vec<u8>> = (1..40_u8)
            .map(|at| vec![at; usize::from(at) * 5_000])
            .collect();
        let chunks: Vec<ChunkRef> = contents.iter().map(|bytes| chunk(bytes)).collect();
        let packed = contents
            .iter()
            .map(|bytes| Piece::pack(bytes.clone().into()));
        let plain = contents
            .iter()
            .map(|bytes| Piece::plain(bytes.clone().into()));
        for pieces in [packed.collect::<Vec<_>>(), plain.collect()] {
            let pairs = || chunks.iter().zip(&pieces);
            assert_eq!(Piece::check_all(pairs()), Ok(()));
            assert!(Piece::open_all(pairs()).unwrap().iter().eq(&contents));
            for wrong in 0..pieces.len() {
                let mut chunks = chunks.clone();
                chunks[wrong].id = chunk_id(b"another");
                let pairs = || chunks.iter().zip(&pieces);
                assert_eq!(Piece::check_all(pairs()), Err(wrong));
                assert_eq!(Piece::open_all(pairs()), Err(wrong));
                chunks[wrong].bytes += 1;
                let pairs = || chunks.iter().zip(&pieces);
                assert_eq!(Piece::check_all(pairs()), Err(wrong));
            }
        }
    }

    #[test]
    fn a_bomb_does_not_grow_beyond_its_chunk() {
        let large = vec![0; 64 << 20];
        let bomb = zstd::bulk::compress(&large, 1).unwrap();
        let piece = Piece::from_parts(Encoding::Zstd, bomb.into());
        assert_eq!(piece.open(&chunk(&[0; 1000])), Err(Damaged));
        let claims = ChunkRef {
            id: chunk_id(&large),
            bytes: 64 << 20,
        };
        assert_eq!(piece.open(&claims), Err(Damaged));
    }
}
