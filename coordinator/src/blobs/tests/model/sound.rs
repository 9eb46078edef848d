//! Whether an index says what it has to.

use std::collections::{BTreeMap, BTreeSet};

use common::id::{ChunkId, TreeId};

use super::{super::index::Doomed, Model, Store};

/// Checks that of each chunk is counted how many trees have it, as far as those are counted and have not heard of their
/// end, and that the lists are those of the rows.
pub(super) fn check_references(store: &Store, model: &Model) {
    let view = store.0.view().unwrap();
    let uncounted: BTreeMap<TreeId, u32> = view.uncounted().unwrap().into_iter().collect();
    let named = view.trees().unwrap().into_iter().map(|(tree, _)| Doomed {
        tree,
        heard: 0,
        counted: uncounted.get(&tree).copied().unwrap_or(u32::MAX),
    });
    let mut expected: BTreeMap<ChunkId, u32> = BTreeMap::new();
    let mut coming = BTreeSet::new();
    for tree in named.chain(view.doomed().unwrap()) {
        let chunks = model.sealed[&tree.tree].chunks().iter().zip(0..);
        for (chunk, ordinal) in chunks.skip(tree.heard as usize) {
            if ordinal < tree.counted {
                *expected.entry(chunk.id).or_default() += 1;
            } else {
                coming.insert(chunk.id);
            }
        }
    }
    let idle = view.idle(u32::MAX, None, usize::MAX).unwrap();
    let idle: BTreeSet<ChunkId> = idle.into_iter().map(|(_, id)| id).collect();
    let (mut counted, mut lost) = (BTreeMap::new(), BTreeSet::new());
    view.each_chunk(|id, row| {
        if row.place.is_none() {
            lost.insert(id);
        }
        if row.references > 0 {
            counted.insert(id, row.references);
            assert!(!idle.contains(&id), "{id} is not idle");
        } else {
            assert!(
                idle.contains(&id) || coming.contains(&id),
                "{id} stays for ever"
            );
        }
        true
    })
    .unwrap();
    assert_eq!(counted, expected);
    let mut listed = BTreeSet::new();
    view.each_lost(|id, _| listed.insert(id)).unwrap();
    assert_eq!(listed, lost);
}

/// Checks that the sums of packs are those of their pieces, and that none is mostly dead.
pub(super) fn check_packs(store: &Store) {
    // What grew while others were cleared up has its turn the next time.
    let packs = || store.0.view().unwrap().packs().unwrap();
    for _ in 0..8 {
        let before = packs();
        store.collect().unwrap();
        if packs() == before {
            break;
        }
    }
    let view = store.0.view().unwrap();
    let mut live: BTreeMap<u32, u32> = BTreeMap::new();
    view.each_chunk(|_, row| {
        if let Some(place) = row.place {
            *live.entry(place.pack).or_default() += place.record_bytes();
        }
        true
    })
    .unwrap();
    for (number, pack) in view.packs().unwrap() {
        assert_eq!(
            pack.live,
            live.remove(&number).unwrap_or(0),
            "pack {number}"
        );
        let length = store.0.packs.length(number).unwrap();
        assert_eq!(length, u64::from(pack.bytes), "pack {number}");
        if store.0.journal.growing() != Some(number) {
            assert!(
                pack.dead() < pack.bytes.div_ceil(4),
                "pack {number}: {pack:?}"
            );
        }
    }
    assert!(live.is_empty(), "{live:?}");
}
