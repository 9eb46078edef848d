//! Ids of many chunks at once.
//!
//! BLAKE3 is as fast as its processor only where sixteen pieces of a kibibyte are hashed side by side (eight with AVX2).
//! A chunk of a dozen has too few, and cuts them up further; so the pieces that stand at the same place of different
//! chunks are hashed together. Half as fast again with AVX-512, and the same ids.

use blake3::{
    BLOCK_LEN, CHUNK_LEN, IncrementCounter, OUT_LEN,
    platform::{Platform, le_bytes_from_words_32},
};

use crate::id::ChunkId;

/// Fewer chunks are hashed one by one, and so are those with at least so many bytes: they fill a processor alone.
const LEAST: usize = 8;
const ALONE_BYTES: usize = 32 << 10;

/// The algorithm's initial value and its flags, from its paper's tables 1 and 3.
const IV: [u32; 8] = [
    0x6A09_E667,
    0xBB67_AE85,
    0x3C6E_F372,
    0xA54F_F53A,
    0x510E_527F,
    0x9B05_688C,
    0x1F83_D9AB,
    0x5BE0_CD19,
];
const CHUNK_START: u8 = 1;
const CHUNK_END: u8 = 2;
const PARENT: u8 = 4;
const ROOT: u8 = 8;

type Value = [u8; OUT_LEN];

/// Returns the ids of these bytes, each as one chunk: what [`super::chunk_id`] says of them.
pub fn chunk_ids(chunks: &[&[u8]]) -> Vec<ChunkId> {
    if chunks.len() < LEAST {
        return chunks.iter().map(|bytes| super::chunk_id(bytes)).collect();
    }
    side_by_side(Platform::detect(), chunks)
}

fn side_by_side(platform: Platform, chunks: &[&[u8]]) -> Vec<ChunkId> {
    let mut ids: Vec<ChunkId> = Vec::new();
    ids.resize(chunks.len(), ChunkId::new([0; OUT_LEN]));
    let mut trees = Vec::with_capacity(chunks.len());
    for (index, bytes) in chunks.iter().enumerate() {
        if bytes.len() <= CHUNK_LEN || bytes.len() >= ALONE_BYTES {
            ids[index] = super::chunk_id(bytes);
        } else {
            trees.push(Open {
                index,
                bytes,
                first: 0,
                nodes: bytes.len().div_ceil(CHUNK_LEN),
            });
        }
    }
    // The longest first: those that have more nodes than others are always at the front.
    trees.sort_unstable_by_key(|tree| std::cmp::Reverse(tree.bytes.len()));
    let mut all = 0;
    for tree in &mut trees {
        tree.first = all;
        all += tree.nodes;
    }
    let mut hashing = Hashing {
        platform,
        values: vec![[0; OUT_LEN]; all],
        out: vec![0; OUT_LEN * all.div_ceil(2).max(trees.len())],
    };
    hashing.leaves(&trees);
    while !trees.is_empty() {
        let roots = trees.partition_point(|tree| tree.nodes > 2);
        hashing.parents(&trees[roots..], PARENT | ROOT);
        for tree in trees.drain(roots..) {
            ids[tree.index] = ChunkId::new(hashing.values[tree.first]);
        }
        hashing.parents(&trees, PARENT);
        for tree in &mut trees {
            tree.nodes = tree.nodes.div_ceil(2);
        }
    }
    ids
}

/// A chunk that is longer than a leaf of its tree.
struct Open<'a> {
    index: usize,
    bytes: &'a [u8],
    /// Where its nodes stand among the values, and how many there are on this level of its tree.
    first: usize,
    nodes: usize,
}

struct Hashing {
    platform: Platform,
    values: Vec<Value>,
    out: Vec<u8>,
}

impl Hashing {
    /// Hashes the leaves of all trees, those at the same place together.
    fn leaves(&mut self, trees: &[Open<'_>]) {
        let mut whole = Vec::with_capacity(trees.len());
        let mut trees = trees;
        let mut at = 0;
        while !trees.is_empty() {
            whole.clear();
            for tree in trees {
                match tree.bytes[at * CHUNK_LEN..].first_chunk::<CHUNK_LEN>() {
                    Some(leaf) => whole.push(leaf),
                    None => break,
                }
            }
            for tree in &trees[whole.len()..] {
                if let rest @ [_, ..] = &tree.bytes[at * CHUNK_LEN..] {
                    self.values[tree.first + at] = self.short(rest, at as u64);
                }
            }
            trees = &trees[..whole.len()];
            if trees.is_empty() {
                break;
            }
            let out = &mut self.out[..OUT_LEN * whole.len()];
            let same = IncrementCounter::No;
            self.platform
                .hash_many(&whole, &IV, at as u64, same, 0, CHUNK_START, CHUNK_END, out);
            let (out, _) = out.as_chunks();
            for (tree, value) in trees.iter().zip(out) {
                self.values[tree.first + at] = *value;
            }
            at += 1;
        }
    }

    /// Hashes a leaf that is not whole.
    fn short(&self, bytes: &[u8], counter: u64) -> Value {
        let mut value = IV;
        let mut flags = CHUNK_START;
        let mut blocks = bytes.chunks(BLOCK_LEN).peekable();
        while let Some(bytes) = blocks.next() {
            let mut block = [0; BLOCK_LEN];
            block[..bytes.len()].copy_from_slice(bytes);
            if blocks.peek().is_none() {
                flags |= CHUNK_END;
            }
            let length = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
            self.platform
                .compress_in_place(&mut value, &block, length, counter, flags);
            flags = 0;
        }
        le_bytes_from_words_32(&value)
    }

    /// Puts parents in place of pairs of nodes; a last one without another stays.
    fn parents(&mut self, trees: &[Open<'_>], flags: u8) {
        let mut pairs: Vec<&[u8; BLOCK_LEN]> = Vec::with_capacity(self.out.len() / OUT_LEN);
        for tree in trees {
            let nodes = self.values[tree.first..tree.first + tree.nodes].as_flattened();
            pairs.extend(nodes.as_chunks().0);
        }
        if pairs.is_empty() {
            return;
        }
        let out = &mut self.out[..OUT_LEN * pairs.len()];
        self.platform
            .hash_many(&pairs, &IV, 0, IncrementCounter::No, flags, 0, 0, out);
        let mut parents = out.as_chunks().0.iter();
        for tree in trees {
            let (first, half) = (tree.first, tree.nodes / 2);
            for (node, parent) in self.values[first..first + half]
                .iter_mut()
                .zip(&mut parents)
            {
                *node = *parent;
            }
            if tree.nodes % 2 == 1 {
                self.values[first + half] = self.values[first + tree.nodes - 1];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert_eq, proptest};

    use super::*;
    use crate::tree::chunk_id;

    fn noise(bytes: usize) -> Vec<u8> {
        let mut output = vec![0; bytes];
        blake3::Hasher::new().finalize_xof().fill(&mut output);
        output
    }

    /// All that this processor has.
    fn platforms() -> Vec<Platform> {
        let mut platforms = vec![Platform::portable(), Platform::detect()];
        #[cfg(target_arch = "x86_64")]
        platforms.extend(
            [Platform::sse2(), Platform::sse41(), Platform::avx2()]
                .into_iter()
                .flatten(),
        );
        platforms
    }

    fn one_by_one(chunks: &[&[u8]]) -> Vec<ChunkId> {
        chunks.iter().map(|bytes| chunk_id(bytes)).collect()
    }

    #[test]
    fn chunks_around_every_bound_have_the_ids_that_they_have_alone() {
        let noise = noise(40 * CHUNK_LEN);
        let leaves = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33];
        let around = leaves.iter().flat_map(|leaves| {
            [-65, -64, -63, -1, 0, 1, 63, 64, 65]
                .map(|more| (leaves * CHUNK_LEN).checked_add_signed(more))
        });
        let sizes: Vec<usize> = around.flatten().collect();
        let chunks: Vec<&[u8]> = sizes.iter().map(|size| &noise[..*size]).collect();
        for platform in platforms() {
            assert_eq!(side_by_side(platform, &chunks), one_by_one(&chunks));
        }
        for many in 0..40 {
            let equal = vec![&noise[..3000]; many];
            assert_eq!(chunk_ids(&equal), one_by_one(&equal));
        }
    }

    proptest! {
        #[test]
        fn any_chunks_have_the_ids_that_they_have_alone(
            parts in prop::collection::vec((0..2_000_usize, 0..40_000_usize), 0..60),
        ) {
            let noise = noise(42_000);
            let chunks: Vec<&[u8]> = parts.iter().map(|(from, size)| &noise[*from..from + size]).collect();
            prop_assert_eq!(chunk_ids(&chunks), one_by_one(&chunks));
            prop_assert_eq!(side_by_side(Platform::portable(), &chunks), one_by_one(&chunks));
        }
    }
}
