//! How a tree's chunks are cut into blocks, which machines get from one another: the same way on every machine.

use std::ops::Range;

use common::{tree::ChunkRef, wire::peer::MAX_BLOCKS};

/// A tree is cut into about so many, unless they would be smaller or larger than the next two.
const BLOCKS: u64 = 4096;
const LEAST_BYTES: u64 = 1 << 20;
const MOST_BYTES: u64 = 8 << 20;
/// Most chunks of one block: one ask for pieces holds them.
const MOST_CHUNKS: usize = 8 << 10;

/// Chunks that follow one another, by ordinal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocks {
    /// Where each begins, and where the last one ends.
    bounds: Vec<u32>,
}

impl Blocks {
    /// Cuts the chunks of a tree; `None` where that makes too many blocks, or there are no chunks.
    pub fn cut(chunks: &[ChunkRef]) -> Option<Self> {
        let total: u64 = chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum();
        let wished = (total / BLOCKS).clamp(LEAST_BYTES, MOST_BYTES);
        let size = wished.max(total.div_ceil(u64::from(MAX_BLOCKS / 2)));
        let mut bounds = vec![0];
        let (mut bytes, mut count) = (0, 0);
        for (ordinal, chunk) in (0_u32..).zip(chunks) {
            if bytes >= size || count == MOST_CHUNKS {
                bounds.push(ordinal);
                (bytes, count) = (0, 0);
            }
            bytes += u64::from(chunk.bytes);
            count += 1;
        }
        bounds.push(u32::try_from(chunks.len()).ok()?);
        let cut = Self { bounds };
        (!chunks.is_empty() && cut.count() <= MAX_BLOCKS).then_some(cut)
    }

    pub fn count(&self) -> u32 {
        u32::try_from(self.bounds.len() - 1).unwrap_or(u32::MAX)
    }

    /// Returns the ordinals of a block's chunks; nothing for a block that there is not.
    pub fn ordinals(&self, block: u32) -> Range<u32> {
        let block = block as usize;
        match self.bounds.get(block..block + 2) {
            Some(&[start, end]) => start..end,
            _ => 0..0,
        }
    }

    /// Returns the block that a chunk is in.
    pub fn block_of(&self, ordinal: u32) -> u32 {
        let after = self.bounds.partition_point(|start| *start <= ordinal);
        u32::try_from(after.saturating_sub(1)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use common::id::ChunkId;
    use proptest::prelude::*;

    use super::*;

    fn chunks(sizes: &[u32]) -> Vec<ChunkRef> {
        let id = ChunkId::new([1; 32]);
        sizes.iter().map(|&bytes| ChunkRef { id, bytes }).collect()
    }

    proptest! {
        #[test]
        fn every_chunk_is_in_one_block(sizes in prop::collection::vec(1_u32..1 << 20, 1..300)) {
            let chunks = chunks(&sizes);
            let blocks = Blocks::cut(&chunks).unwrap();
            let mut next = 0;
            for block in 0..blocks.count() {
                let ordinals = blocks.ordinals(block);
                prop_assert_eq!(ordinals.start, next);
                prop_assert!(!ordinals.is_empty());
                for ordinal in ordinals.clone() {
                    prop_assert_eq!(blocks.block_of(ordinal), block);
                }
                next = ordinals.end;
            }
            prop_assert_eq!(next as usize, sizes.len());
            prop_assert!(blocks.ordinals(blocks.count()).is_empty());
        }
    }

    #[test]
    fn blocks_are_neither_many_nor_large() {
        let small = Blocks::cut(&chunks(&[1; 20_000])).unwrap();
        assert_eq!(small.count(), 3, "as many as an ask holds");
        let usual = Blocks::cut(&chunks(&[16 << 10; 4096])).unwrap();
        assert_eq!(usual.count(), 64, "a mebibyte each");
        assert_eq!(Blocks::cut(&[]), None);
        let large = Blocks::cut(&chunks(&vec![1 << 20; 1 << 20])).unwrap();
        assert_eq!(
            large.count(),
            1 << 17 >> 2,
            "never more than half of what there may be"
        );
    }
}
