//! The numbers of chunks that both sides know: those of a tree that both have, then others in the order in which they
//! are named.

use std::hash::BuildHasher as _;

use common::{
    problem::Problem,
    tree::{ChunkRef, Entry, EntryKind},
    wire::data::{OfferedEntry, OfferedKind, OfferedPart, Run, TreePart},
};
use hashbrown::{DefaultHashBuilder, HashTable};

use super::{Manifest, protocol};

/// Half of a chunk's id, which is as good as all of it.
type Half = [u8; 16];

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    beside: Option<Manifest>,
    /// Those that came after.
    others: Vec<Half>,
    /// All of them, by the half that they stand for.
    table: HashTable<u32>,
    keys: DefaultHashBuilder,
    /// What is probably asked for next by [`Numbers::number`], and by [`Numbers::part`]: the next version of a tree
    /// names most chunks in the order of the one before, and those need not be looked for.
    expected: u32,
    described: u32,
}

impl Numbers {
    /// Returns the numbers that a tree's chunks have from the start. Takes a while for a large tree.
    pub(super) fn of(tree: Manifest) -> Self {
        let mut table = HashTable::with_capacity(tree.chunks().len());
        let keys = DefaultHashBuilder::default();
        let key = |number: &u32| keys.hash_one(half(&tree.chunks()[*number as usize]));
        for (_, number) in tree.chunks().iter().zip(0..) {
            table.insert_unique(key(&number), number, key);
        }
        Self {
            beside: Some(tree),
            table,
            keys,
            ..Self::default()
        }
    }

    /// Returns a chunk's number, and whether it got it just now.
    pub(super) fn number(&mut self, chunk: &ChunkRef) -> Result<(u32, bool), Problem> {
        if let Some(number) = self.find(self.expected, chunk) {
            self.expected = number + 1;
            return Ok((number, false));
        }
        let known = self.before().len() + self.others.len();
        let number = u32::try_from(known).map_err(|_| protocol("too many chunks"))?;
        let half = half(chunk);
        self.others.push(half);
        let (before, others) = (self.beside.as_ref(), &self.others);
        let key = |number: &u32| self.keys.hash_one(half_of(before, others, *number));
        self.table
            .insert_unique(self.keys.hash_one(half), number, key);
        Ok((number, true))
    }

    /// Returns a part with numbers in place of the chunks.
    pub(super) fn part(&mut self, part: TreePart) -> Result<OfferedPart, Problem> {
        let mut entries = Vec::with_capacity(part.entries.len());
        for Entry { path, kind } in part.entries {
            let kind = match kind {
                EntryKind::Directory => OfferedKind::Directory,
                EntryKind::Symlink { target } => OfferedKind::Symlink { target },
                EntryKind::File { executable, chunks } => {
                    let chunks = self.runs(&chunks)?;
                    OfferedKind::File { executable, chunks }
                }
            };
            entries.push(OfferedEntry { path, kind });
        }
        let last = part.last;
        Ok(OfferedPart { entries, last })
    }

    fn runs(&mut self, chunks: &[ChunkRef]) -> Result<Vec<Run>, Problem> {
        let mut numbers = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            // Only a walker that describes what it did not hand over does without a number.
            let number = self.find(self.described, chunk);
            let number = number.ok_or_else(|| protocol("a chunk was not offered"))?;
            self.described = number + 1;
            numbers.push(number);
        }
        Ok(Run::of(numbers))
    }

    /// Returns the number of a chunk that has one, which is probably this.
    fn find(&self, expected: u32, chunk: &ChunkRef) -> Option<u32> {
        let half = half(chunk);
        let known = self.before().len() + self.others.len();
        if (expected as usize) < known && self.half(expected) == half {
            return Some(expected);
        }
        let same = |number: &u32| self.half(*number) == half;
        self.table.find(self.keys.hash_one(half), same).copied()
    }

    /// Returns what a number stands for that was given.
    fn half(&self, number: u32) -> Half {
        half_of(self.beside.as_ref(), &self.others, number)
    }

    fn before(&self) -> &[ChunkRef] {
        before(self.beside.as_ref())
    }
}

fn half_of(beside: Option<&Manifest>, others: &[Half], number: u32) -> Half {
    let (number, before) = (number as usize, before(beside));
    match number.checked_sub(before.len()) {
        Some(other) => others[other],
        None => half(&before[number]),
    }
}

fn before(beside: Option<&Manifest>) -> &[ChunkRef] {
    beside.map_or(&[], Manifest::chunks)
}

fn half(chunk: &ChunkRef) -> Half {
    let mut half = [0; 16];
    half.copy_from_slice(&chunk.id.as_bytes()[..16]);
    half
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use common::tree::{Tree, chunk_id};
    use proptest::prelude::*;

    use super::*;

    fn chunk(number: u8) -> ChunkRef {
        let (id, bytes) = (chunk_id(&[number]), 1);
        ChunkRef { id, bytes }
    }

    fn file(path: &str, chunks: &[u8]) -> Entry {
        let chunks = chunks.iter().map(|number| chunk(*number)).collect();
        let (path, executable) = (path.parse().unwrap(), false);
        let kind = EntryKind::File { executable, chunks };
        Entry { path, kind }
    }

    proptest! {
        #[test]
        fn a_number_stands_for_one_chunk_whether_expected_or_not(
            before in prop::option::of(prop::collection::vec(any::<u8>(), 0..60)),
            named in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let tree = |chunks: &[u8]| Manifest::new(Tree::new(vec![file("a", chunks)]).unwrap());
            let beside = before.map(|before| tree(&before).unwrap());
            let mut known: Vec<ChunkRef> = beside.as_ref().map(|tree| tree.chunks().to_vec()).unwrap_or_default();
            let mut numbers = beside.map(Numbers::of).unwrap_or_default();
            let mut given = HashMap::new();
            for name in &named {
                let (number, new) = numbers.number(&chunk(*name)).unwrap();
                prop_assert_eq!(new, !known.contains(&chunk(*name)));
                known.extend(new.then(|| chunk(*name)));
                prop_assert_eq!(known[number as usize], chunk(*name));
                prop_assert_eq!(*given.entry(*name).or_insert(number), number);
            }
            // Described in another order than that in which they were named.
            let described: Vec<u8> = named.iter().rev().copied().chain(named.iter().copied()).collect();
            let part = TreePart { entries: vec![file("b", &described)], last: true };
            let part = numbers.part(part).unwrap();
            let OfferedKind::File { chunks, .. } = &part.entries[0].kind else {
                panic!("it was a file");
            };
            let found = Run::numbers(chunks, known.len(), described.len()).unwrap();
            prop_assert_eq!(found, described.iter().map(|name| given[name]).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_was_not_named_has_no_number() {
        let mut numbers = Numbers::default();
        numbers.number(&chunk(1)).unwrap();
        let entries = vec![file("a", &[1, 2])];
        let part = TreePart {
            entries,
            last: true,
        };
        let refused = numbers.part(part).unwrap_err();
        assert!(refused.why.contains("was not offered"), "{refused}");
    }
}
