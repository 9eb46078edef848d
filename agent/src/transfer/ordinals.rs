//! Which chunk stands where in a tree: its ordinal at each place, and the places of each ordinal.
//!
//! A tree has hundreds of thousands of chunks, so that nothing here is looked up or compared that need not be: what
//! a tree names first has the next ordinal, and places are sorted by counting.

use common::id::ChunkId;
use link::trees::{ChunkMap, Manifest};

/// Stands for an ordinal that is not known yet; no tree has so many chunks.
const UNKNOWN: u32 = u32::MAX;

/// The ordinals of all files' chunks.
#[derive(Debug)]
pub(super) struct Ordinals {
    /// In the order in which the tree names the chunks, repetitions too.
    all: Vec<u32>,
    /// By entry: where its own end.
    ends: Vec<usize>,
}

impl Ordinals {
    pub(super) fn of(manifest: &Manifest) -> Self {
        let (entries, mut fresh) = (manifest.tree().entries(), (0_u32..).zip(manifest.chunks()));
        let mut all = Vec::with_capacity(manifest.chunks().len());
        let mut ends = Vec::with_capacity(entries.len());
        let mut repeated: Vec<(usize, ChunkId)> = Vec::new();
        let mut next = fresh.next();
        for entry in entries {
            for chunk in entry.kind.chunks() {
                match next {
                    Some((ordinal, first)) if first == chunk => {
                        all.push(ordinal);
                        next = fresh.next();
                    }
                    _ => {
                        repeated.push((all.len(), chunk.id));
                        all.push(UNKNOWN);
                    }
                }
            }
            ends.push(all.len());
        }
        if !repeated.is_empty() {
            let ids = repeated.iter().map(|(_, id)| (*id, UNKNOWN));
            let mut known: ChunkMap<u32> = ids.collect();
            for (ordinal, chunk) in (0_u32..).zip(manifest.chunks()) {
                if let Some(known) = known.get_mut(&chunk.id) {
                    *known = ordinal;
                }
            }
            for (at, id) in repeated {
                all[at] = known[&id];
            }
        }
        Self { all, ends }
    }

    /// Returns the ordinals of a file's chunks; `index` is one of the tree's entries.
    pub(super) fn of_entry(&self, index: usize) -> &[u32] {
        let from = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.all[from..self.ends[index]]
    }
}

/// Where a chunk stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// An index into the tree's entries.
    pub(super) index: usize,
    pub(super) offset: u64,
}

/// Every place of every chunk.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// By ordinal, and in the order of the tree.
    all: Vec<Place>,
    /// By ordinal: where its own end.
    ends: Vec<usize>,
}

impl Places {
    /// Returns the places in all files that `counts`.
    pub(super) fn of(manifest: &Manifest, counts: impl Fn(usize) -> bool) -> Self {
        let ordinals = Ordinals::of(manifest);
        let entries = manifest.tree().entries();
        let files: Vec<usize> = (0..entries.len()).filter(|index| counts(*index)).collect();
        let mut ends = vec![0; manifest.chunks().len()];
        for ordinal in files.iter().flat_map(|index| ordinals.of_entry(*index)) {
            ends[*ordinal as usize] += 1;
        }
        let mut total = 0;
        for end in &mut ends {
            // For now where its own begin: each place that is filled in moves it on.
            total += std::mem::replace(end, total);
        }
        let nowhere = Place {
            index: usize::MAX,
            offset: 0,
        };
        let mut all = vec![nowhere; total];
        for index in files {
            let chunks = entries[index].kind.chunks();
            let mut offset = 0;
            for (ordinal, chunk) in ordinals.of_entry(index).iter().zip(chunks) {
                let end = &mut ends[*ordinal as usize];
                all[*end] = Place { index, offset };
                *end += 1;
                offset += u64::from(chunk.bytes);
            }
        }
        Self { all, ends }
    }

    /// Returns the places of one chunk, in the order of the tree.
    pub(super) fn of_chunk(&self, ordinal: u32) -> &[Place] {
        let ordinal = ordinal as usize;
        let from = ordinal.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.all[from..self.ends[ordinal]]
    }

    /// Returns every chunk with its places, which may be none.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &[Place])> {
        let ordinals = (0_u32..).zip(&self.ends);
        ordinals.map(|(ordinal, _)| (ordinal, self.of_chunk(ordinal)))
    }
}

#[cfg(test)]
mod tests {
    use common::tree::{ChunkRef, Entry, EntryKind, Tree, chunk_id};

    use super::*;

    fn manifest(files: &[(&str, &str)]) -> Manifest {
        let file = |(path, chunks): &(&str, &str)| Entry {
            path: path.parse().unwrap(),
            kind: EntryKind::File {
                executable: false,
                chunks: chunks
                    .bytes()
                    .map(|byte| ChunkRef {
                        id: chunk_id(&[byte]),
                        bytes: 10 + u32::from(byte - b'a'),
                    })
                    .collect(),
            },
        };
        Manifest::new(Tree::new(files.iter().map(file).collect()).unwrap()).unwrap()
    }

    #[test]
    fn what_comes_again_has_the_ordinal_that_it_had() {
        let tree = manifest(&[("1", "abac"), ("2", ""), ("3", "cdda")]);
        let ordinals = Ordinals::of(&tree);
        assert_eq!(ordinals.of_entry(0), [0, 1, 0, 2]);
        assert_eq!(ordinals.of_entry(1), [0_u32; 0]);
        assert_eq!(ordinals.of_entry(2), [2, 3, 3, 0]);
    }

    #[test]
    fn a_chunk_has_all_its_places_but_those_that_do_not_count() {
        let tree = manifest(&[("1", "abac"), ("2", "bx"), ("3", "cdda")]);
        let place = |index, offset| Place { index, offset };
        let places = Places::of(&tree, |index| index != 1);
        let all: Vec<(u32, Vec<Place>)> = places
            .iter()
            .map(|(ordinal, places)| (ordinal, places.to_vec()))
            .collect();
        let a = vec![place(0, 0), place(0, 21), place(2, 38)];
        let b = vec![place(0, 10)];
        let c = vec![place(0, 31), place(2, 0)];
        let d = vec![place(2, 12), place(2, 25)];
        assert_eq!(all, [(0, a), (1, b), (2, c), (3, vec![]), (4, d)]);
    }
}
