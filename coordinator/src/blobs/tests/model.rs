//! Anything that may happen to a store, in any order, against a model of what must be there.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};

use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// Sends these pieces and makes a tree of them, unless it breaks off.
    Upload(BTreeSet<u32>, bool),
    /// Takes the name of one of the trees away.
    Doom(prop::sample::Index),
    Collect,
    /// Closed and opened, so many hours later.
    Reopen(u64),
    /// Killed: opened as the files are now.
    Kill,
    /// A receiver says that a piece is damaged, which it is.
    Damage(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pieces = prop::collection::btree_set(0..40_u32, 1..12);
    let step = prop_oneof![
        4 => (pieces, prop::bool::weighted(0.7)).prop_map(|(pieces, seals)| Step::Upload(pieces, seals)),
        3 => any::<prop::sample::Index>().prop_map(Step::Doom),
        2 => Just(Step::Collect),
        1 => (0..30_u64).prop_map(Step::Reopen),
        2 => Just(Step::Kill),
        1 => any::<prop::sample::Index>().prop_map(Step::Damage),
    ];
    prop::collection::vec(step, 1..25)
}

/// What must be there.
#[derive(Debug, Default)]
struct Model {
    now: u64,
    trees: BTreeMap<TreeId, Vec<u32>>,
    /// Pieces, and since when nothing has them; at once after a tree has gone.
    pieces: BTreeMap<u32, Option<u64>>,
    damaged: BTreeSet<u32>,
}

impl Model {
    fn is_live(&self, number: u32) -> bool {
        self.trees.values().any(|numbers| numbers.contains(&number))
    }

    fn collect(&mut self) {
        let live: BTreeSet<u32> = self.trees.values().flatten().copied().collect();
        let now = self.now;
        self.pieces.retain(|number, since| {
            live.contains(number) || since.is_some_and(|since| now < since + DAY)
        });
        let pieces = &self.pieces;
        self.damaged.retain(|number| pieces.contains_key(number));
    }
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 24, max_shrink_iters: 200, ..Default::default() })]
    #[test]
    fn no_live_piece_is_ever_lost_and_dead_ones_go(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let mut path = folder.path().join("0");
        let mut model = Model { now: BEGINNING, ..Model::default() };
        let mut store = store_at(&path, model.now);
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Upload(numbers, seals) => {
                    let numbers: Vec<u32> = numbers.into_iter().collect();
                    let lacking = numbers.iter().filter(|number| {
                        !model.pieces.contains_key(number) || model.damaged.contains(number)
                    });
                    let lacking: Vec<u32> = lacking.copied().collect();
                    let incoming = store.begin();
                    prop_assert_eq!(bring(&incoming, &numbers), Ok(lacking.len()));
                    for number in lacking {
                        model.damaged.remove(&number);
                        model.pieces.entry(number).or_insert(Some(model.now));
                    }
                    if seals {
                        let tree = incoming.seal(&made_of(&numbers)).unwrap();
                        store.release(tree);
                        model.trees.insert(tree, numbers);
                    }
                }
                Step::Doom(index) => {
                    if model.trees.is_empty() {
                        continue;
                    }
                    let all: Vec<TreeId> = model.trees.keys().copied().collect();
                    let tree = all[index.index(all.len())];
                    let kept = store.doom(&[tree]).unwrap();
                    if kept.is_empty() {
                        let numbers = model.trees.remove(&tree).unwrap();
                        for number in numbers {
                            if !model.is_live(number) {
                                model.pieces.insert(number, None);
                            }
                        }
                    }
                }
                Step::Collect => {
                    store.collect().unwrap();
                    model.collect();
                    check_packs(&store);
                }
                Step::Reopen(hours) => {
                    drop(store);
                    model.now += hours * 3_600_000;
                    store = store_at(&path, model.now);
                }
                Step::Kill => {
                    let next = folder.path().join((number + 1).to_string());
                    copy_folder(&path, &next);
                    // Its last words go to the old folder.
                    drop(store);
                    path = next;
                    store = store_at(&path, model.now);
                }
                Step::Damage(index) => {
                    // The journal is not where a receiver has pieces from.
                    store.0.flush().unwrap();
                    let here: Vec<u32> = model.pieces.keys().copied().filter(|number| !model.damaged.contains(number)).collect();
                    if !here.is_empty() {
                        let number = here[index.index(here.len())];
                        damage::flip(&path, &store, number, 49);
                        prop_assert_eq!(store.suspect(&chunk(number)), Ok(true));
                        model.damaged.insert(number);
                    }
                }
            }
            check_model(&store, &model);
        }
        for tree in model.trees.keys() {
            store.doom(&[*tree]).unwrap();
        }
        drop(store);
        let store = store_at(&path, model.now + 2 * DAY);
        store.collect().unwrap();
        let left: Vec<TreeId> = store.0.view().unwrap().trees().unwrap().into_iter().map(|(tree, _)| tree).collect();
        store.doom(&left).unwrap();
        store.collect().unwrap();
        prop_assert_eq!(stored(&store), [0_u32; 0]);
        check_packs(&store);
    }
}

fn check_model(store: &Store, model: &Model) {
    store.0.flush().unwrap();
    let here: Vec<u32> = model
        .pieces
        .keys()
        .copied()
        .filter(|number| !model.damaged.contains(number))
        .collect();
    assert_eq!(stored(store), here);
    for numbers in model.trees.values() {
        if numbers.iter().all(|number| !model.damaged.contains(number)) {
            check_whole(store, numbers);
        } else {
            let tree = made_of(numbers);
            assert!(store.pieces(tree.id(), tree.chunks()).is_err());
        }
    }
}

/// Checks that the sums of packs are those of their pieces, and that none is mostly dead.
fn check_packs(store: &Store) {
    // What grew while others were cleared up has its turn the next time.
    store.collect().unwrap();
    store.collect().unwrap();
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
