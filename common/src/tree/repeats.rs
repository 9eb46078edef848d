//! Which chunks of a tree were named before.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry as Slot};

use super::{ChunkRef, Entry, TreePath};

/// Where a tree names a chunk: an entry, and which of its chunks it is.
type Spot = (u32, u32);

/// Calls `each` with every chunk in the order of the tree, with its file, and with how the same chunk was named first.
pub(super) fn walk<'a>(
    entries: &'a [Entry],
    mut each: impl FnMut(&'a TreePath, &'a ChunkRef, Option<&'a ChunkRef>),
) {
    // It says where chunks stand and has no copies of them: a tree has up to millions. The hash is quick and no defence
    // against somebody who picks ids as he likes; he cannot, since a tree is made of what came and has these digests.
    let mut first: HashTable<Spot> = HashTable::new();
    let keys = DefaultHashBuilder::default();
    let chunk_at = |(entry, place): Spot| &entries[entry as usize].kind.chunks()[place as usize];
    let key = |spot: &Spot| keys.hash_one(chunk_at(*spot).id);
    for (entry, number) in entries.iter().zip(0..) {
        for (chunk, place) in entry.kind.chunks().iter().zip(0..) {
            let same = |spot: &Spot| chunk_at(*spot).id == chunk.id;
            match first.entry(keys.hash_one(chunk.id), same, key) {
                Slot::Occupied(before) => each(&entry.path, chunk, Some(chunk_at(*before.get()))),
                Slot::Vacant(slot) => {
                    slot.insert((number, place));
                    each(&entry.path, chunk, None);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tree::{EntryKind, Tree, chunk_id};

    proptest! {
        #[test]
        fn chunks_have_the_order_in_which_they_are_named_first(
            files in prop::collection::vec(prop::collection::vec(1..50_u32, 0..40), 0..10),
        ) {
            let chunk = |bytes: &u32| ChunkRef { id: chunk_id(&bytes.to_le_bytes()), bytes: *bytes };
            let files: Vec<Vec<ChunkRef>> =
                files.iter().map(|file| file.iter().map(chunk).collect()).collect();
            let mut first: Vec<ChunkRef> = Vec::new();
            for chunk in files.iter().flatten() {
                if !first.contains(chunk) {
                    first.push(*chunk);
                }
            }
            let entries = files.into_iter().enumerate().map(|(number, chunks)| Entry {
                path: format!("{number}").parse().unwrap(),
                kind: EntryKind::File { executable: false, chunks },
            });
            prop_assert_eq!(Tree::new(entries.collect()).unwrap().chunks(), first);
        }
    }
}
