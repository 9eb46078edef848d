use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

use super::*;

fn tree(number: u8) -> TreeId {
    TreeId::new([number; 32])
}

fn cached(number: u8, bytes: u64, last_used: u64, pinned: bool) -> Cached<'static> {
    Cached {
        item: Item::Tree(tree(number)),
        alone: Bytes(bytes),
        shared: &[],
        last_used: Timestamp::from_unix_ms(last_used),
        pinned,
    }
}

#[test]
fn the_longest_unused_goes_first_and_no_more_than_needed() {
    let all = [
        cached(1, 40, 30, false),
        cached(2, 40, 10, true),
        cached(3, 20, 20, false),
    ];
    let room = |needed| make_room(&all, &SharedFiles::default(), Bytes(100), Bytes(needed));
    let item = |number| Item::Tree(tree(number));
    assert_eq!(room(0), Ok(vec![]));
    assert_eq!(room(20), Ok(vec![item(3)]));
    assert_eq!(room(21), Ok(vec![item(3), item(1)]));
    let refused = NoRoom {
        needed: Bytes(61),
        limit: Bytes(100),
        pinned: Bytes(40),
    };
    assert_eq!(room(61), Err(refused));
    let none = make_room(&[], &SharedFiles::default(), Bytes(1), Bytes(u64::MAX));
    assert_eq!(none.unwrap_err().pinned, Bytes(0));
}

#[test]
fn what_two_versions_share_goes_with_the_last_of_them() {
    let file = FileNumber(7);
    let mut files = SharedFiles::default();
    files.take(file, Bytes(90));
    files.take(file, Bytes(90));
    let version = |number, last_used, pinned| Cached {
        shared: std::slice::from_ref(&file),
        ..cached(number, 5, last_used, pinned)
    };
    let both = [version(1, 1, false), version(2, 2, false)];
    assert_eq!(used(both, &files), Bytes(100));
    let item = |number| Item::Tree(tree(number));
    let room = |all: &[Cached<'_>], needed| make_room(all, &files, Bytes(100), Bytes(needed));
    assert_eq!(room(&both, 5), Ok(vec![item(1)]));
    assert_eq!(room(&both, 6), Ok(vec![item(1), item(2)]));
    let one_used = [version(1, 1, false), version(2, 2, true)];
    assert_eq!(room(&one_used, 6).unwrap_err().pinned, Bytes(95));
    files.give_back(file);
    assert_eq!((files.holders(file), files.total()), (1, Bytes(90)));
    files.give_back(file);
    assert_eq!(files, SharedFiles::default());
}

/// A cache as it is on the disk: files with sizes, and which files each tree has.
#[derive(Debug)]
struct Model {
    sizes: Vec<u64>,
    /// What each tree has for itself, its files, its last use, and whether it is in use.
    trees: Vec<(u64, BTreeSet<usize>, u64, bool)>,
}

impl Model {
    /// Returns what these trees take, counted file by file.
    fn room(&self, keep: impl Fn(usize) -> bool) -> u64 {
        let kept = || {
            let numbered = self.trees.iter().enumerate();
            numbered
                .filter(|(number, _)| keep(*number))
                .map(|(_, tree)| tree)
        };
        let files: BTreeSet<usize> = kept().flat_map(|tree| tree.1.iter().copied()).collect();
        let alone: u64 = kept().map(|tree| tree.0).sum();
        alone + files.into_iter().map(|file| self.sizes[file]).sum::<u64>()
    }

    /// Returns the same as the plan is told it: files that one tree has are its own.
    fn books(&self) -> (SharedFiles, Vec<(u64, Vec<FileNumber>)>) {
        let holders = |file: usize| {
            self.trees
                .iter()
                .filter(|tree| tree.1.contains(&file))
                .count()
        };
        let mut files = SharedFiles::default();
        let mut told = Vec::new();
        for (alone, has, _, _) in &self.trees {
            let (mut alone, mut shared) = (*alone, Vec::new());
            for &file in has {
                if holders(file) > 1 {
                    files.take(FileNumber(file as u64), Bytes(self.sizes[file]));
                    shared.push(FileNumber(file as u64));
                } else {
                    alone += self.sizes[file];
                }
            }
            told.push((alone, shared));
        }
        (files, told)
    }
}

fn any_cache() -> impl Strategy<Value = Model> {
    let sizes = proptest::collection::vec(0_u64..1000, 1..12);
    sizes.prop_flat_map(|sizes| {
        let files = proptest::collection::btree_set(0..sizes.len(), 0..sizes.len());
        let one = (0_u64..300, files, 0_u64..5, any::<bool>());
        let trees = proptest::collection::vec(one, 0..12);
        trees.prop_map(move |trees| Model {
            sizes: sizes.clone(),
            trees,
        })
    })
}

proptest! {
    #[test]
    fn a_plan_fits_spares_what_is_used_and_wastes_nothing(
        model in any_cache(), limit in 0_u64..8000, needed in 0_u64..4000,
    ) {
        let (files, told) = model.books();
        let all: Vec<Cached<'_>> = (0_u8..).zip(&model.trees).zip(&told).map(|((number, tree), told)| {
            Cached { shared: &told.1, ..cached(number, told.0, tree.2, tree.3) }
        }).collect();
        let number = |item: &Item| {
            all.iter().position(|cached| cached.item == *item).unwrap()
        };
        prop_assert_eq!(used(all.iter().copied(), &files).0, model.room(|_| true));
        let in_use = model.room(|number| model.trees[number].3);
        prop_assert_eq!(pinned(&all, &files).0, in_use);
        match make_room(&all, &files, Bytes(limit), Bytes(needed)) {
            Err(refused) => {
                prop_assert!(in_use + needed > limit);
                prop_assert_eq!(refused.pinned.0, in_use);
            }
            Ok(evicted) => {
                let gone: BTreeSet<usize> = evicted.iter().map(number).collect();
                prop_assert_eq!(gone.len(), evicted.len());
                prop_assert!(gone.iter().all(|gone| !model.trees[*gone].3));
                prop_assert!(model.room(|number| !gone.contains(&number)) + needed <= limit);
                let newest_gone = gone.iter().map(|gone| model.trees[*gone].2).max();
                for (number, tree) in model.trees.iter().enumerate() {
                    if !gone.contains(&number) && !tree.3 {
                        prop_assert!(newest_gone.is_none_or(|newest| newest <= tree.2));
                    }
                }
                if let Some((last, before)) = evicted.split_last() {
                    let before: BTreeSet<usize> = before.iter().map(number).collect();
                    let without_last = model.room(|number| !before.contains(&number));
                    prop_assert!(without_last + needed > limit, "{last:?} went for nothing");
                }
                // What stays is counted as it is once the others are gone.
                let mut files = files.clone();
                for gone in &gone {
                    told[*gone].1.iter().for_each(|file| files.give_back(*file));
                }
                let left = all.iter().filter(|cached| !evicted.contains(&cached.item)).copied();
                prop_assert_eq!(used(left, &files).0, model.room(|number| !gone.contains(&number)));
            }
        }
    }
}
