//! Anything that may happen to a store, in any order, against a model of what must be there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use proptest::prelude::{
    Just, ProptestConfig, Strategy, TestCaseError, any, prop, prop_assert, prop_assert_eq,
    prop_oneof, proptest,
};

use self::sound::{check_packs, check_references};
use super::{bucket::Bucket, *};

mod sound;

#[derive(Debug, Clone)]
enum Step {
    /// Sends these pieces and makes a tree of them, unless it breaks off. One that comes several times is in the tree as
    /// often.
    Upload(Vec<u32>, bool),
    /// Sends a tree of these and what another one has, beside that.
    Beside(Vec<u32>, prop::sample::Index),
    /// Counts a part of what is not counted, or all.
    Count(bool),
    /// Has all counts taken anew, by whoever comes to it next.
    Recount,
    /// Looks what a collection would take, were one of the trees to lose its name, and has it do so.
    Sweep(prop::sample::Index),
    /// Sends one of the trees once more.
    Again(prop::sample::Index),
    /// Takes the name of one of the trees away.
    Doom(prop::sample::Index),
    Collect,
    /// Closed and opened, so many hours later.
    Reopen(u64),
    /// Killed: opened as the files are now.
    Kill,
    /// A receiver says that a piece is damaged, which it is.
    Damage(prop::sample::Index),
    /// So many steps to the bucket, or back.
    Move(bool, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pieces = prop::collection::vec(0..40_u32, 1..14);
    let step = prop_oneof![
        4 => (pieces, prop::bool::weighted(0.7)).prop_map(|(pieces, seals)| Step::Upload(pieces, seals)),
        2 => (prop::collection::vec(0..40_u32, 0..6), any::<prop::sample::Index>()).prop_map(|(pieces, beside)| Step::Beside(pieces, beside)),
        2 => any::<bool>().prop_map(Step::Count),
        1 => any::<prop::sample::Index>().prop_map(Step::Sweep),
        1 => Just(Step::Recount),
        1 => any::<prop::sample::Index>().prop_map(Step::Again),
        3 => any::<prop::sample::Index>().prop_map(Step::Doom),
        2 => Just(Step::Collect),
        1 => (0..30_u64).prop_map(Step::Reopen),
        2 => Just(Step::Kill),
        1 => any::<prop::sample::Index>().prop_map(Step::Damage),
        2 => (any::<bool>(), 0..4_usize).prop_map(|(out, steps)| Step::Move(out, steps)),
    ];
    prop::collection::vec(step, 1..25)
}

/// What must be there.
#[derive(Debug, Default)]
struct Model {
    now: u64,
    trees: BTreeMap<TreeId, Vec<u32>>,
    /// Every tree that ever was.
    sealed: BTreeMap<TreeId, Manifest>,
    /// Pieces, and since when nothing has them; at once after a tree has gone.
    pieces: BTreeMap<u32, Option<u64>>,
    damaged: BTreeSet<u32>,
}

impl Model {
    fn tree(&self, index: prop::sample::Index) -> Option<TreeId> {
        let all: Vec<TreeId> = self.trees.keys().copied().collect();
        (!all.is_empty()).then(|| all[index.index(all.len())])
    }

    /// Returns the pieces that are there and not damaged.
    fn whole(&self) -> Vec<u32> {
        let whole = self.pieces.keys().copied();
        whole
            .filter(|number| !self.damaged.contains(number))
            .collect()
    }

    fn is_live(&self, number: u32) -> bool {
        self.trees.values().any(|numbers| numbers.contains(&number))
    }

    fn doom(&mut self, trees: &[TreeId]) {
        for tree in trees {
            for number in self.trees.remove(tree).unwrap() {
                if !self.is_live(number) {
                    self.pieces.insert(number, None);
                }
            }
        }
    }

    /// Notes that these were sent, and that a tree was made of them.
    fn seal(&mut self, tree: TreeId, numbers: Vec<u32>) {
        self.sealed.insert(tree, made_of(&numbers));
        self.trees.insert(tree, numbers);
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
    #![proptest_config(cases(24))]
    #[test]
    fn no_live_piece_is_ever_lost_and_dead_ones_go(steps in steps()) {
        live(steps, None)?;
    }
}

proptest! {
    #![proptest_config(cases(16))]
    #[test]
    fn no_live_piece_is_ever_lost_in_a_bucket_or_on_the_way(steps in steps()) {
        static BUCKET: LazyLock<Bucket> = LazyLock::new(Bucket::start);
        live(steps, Some(&BUCKET))?;
    }
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    }
}

/// Lives through all of it; with a bucket, begins there and moves.
fn live(steps: Vec<Step>, bucket: Option<&Bucket>) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().file_name().unwrap().display().to_string();
    let away = bucket.map(|bucket| place_in(bucket, prefix.trim_start_matches('.')));
    let home = away.clone().unwrap_or_default();
    let mut path = folder.path().join("0");
    let mut model = Model {
        now: BEGINNING,
        ..Model::default()
    };
    let opened = |path: &Path, now: u64| {
        stores_of(path, now, Fixed::at(home.clone()))
            .org(ORG)
            .unwrap()
    };
    let mut store = opened(&path, model.now);
    for (number, step) in steps.into_iter().enumerate() {
        let step = match step {
            Step::Again(index) => match model.tree(index) {
                Some(tree) => Step::Upload(model.trees[&tree].clone(), true),
                None => continue,
            },
            Step::Sweep(index) => {
                let trees: Vec<TreeId> = model.tree(index).into_iter().collect();
                let preview = store.preview(&trees).unwrap();
                prop_assert_eq!(store.doom(&trees).unwrap(), Vec::new());
                model.doom(&trees);
                let collected = store.collect().unwrap();
                prop_assert_eq!((preview.gone, preview.held), (collected, 0));
                model.collect();
                Step::Collect
            }
            step => step,
        };
        match step {
            Step::Upload(numbers, seals) => {
                let once: BTreeSet<u32> = numbers.iter().copied().collect();
                let once: Vec<u32> = once.into_iter().collect();
                let lacking = once.iter().filter(|number| {
                    !model.pieces.contains_key(number) || model.damaged.contains(number)
                });
                let lacking: Vec<u32> = lacking.copied().collect();
                let incoming = store.begin();
                prop_assert_eq!(bring(&incoming, &once), Ok(lacking.len()));
                for number in lacking {
                    model.damaged.remove(&number);
                    model.pieces.entry(number).or_insert(Some(model.now));
                }
                if seals {
                    let tree = incoming.seal(&made_of(&numbers)).unwrap();
                    store.release(tree);
                    model.seal(tree, numbers);
                }
            }
            Step::Beside(more, index) => {
                let Some(beside) = model.tree(index) else {
                    continue;
                };
                beside_it(&store, &mut model, beside, &more)?;
            }
            Step::Recount => {
                let note = store.0.change(|change| change.note(index::RECOUNT, b"1"));
                note.unwrap();
            }
            Step::Count(true) => store.count().unwrap(),
            Step::Count(false) => drop(store.count_step(&mut None).unwrap()),
            Step::Again(_) | Step::Sweep(_) => unreachable!("it is another step by now"),
            Step::Doom(index) => {
                let Some(tree) = model.tree(index) else {
                    continue;
                };
                if store.doom(&[tree]).unwrap().is_empty() {
                    model.doom(&[tree]);
                }
            }
            Step::Move(out, steps) => {
                if let Some(away) = &away {
                    let place = if out {
                        away.clone()
                    } else {
                        StoragePlace::Local
                    };
                    for _ in 0..steps {
                        store.go_on(&place).unwrap();
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
                store = opened(&path, model.now);
            }
            Step::Kill => {
                let next = folder.path().join((number + 1).to_string());
                copy_folder(&path, &next);
                // Its last words go to the old folder.
                drop(store);
                path = next;
                store = opened(&path, model.now);
            }
            Step::Damage(index) => {
                // The journal is not where a receiver has pieces from.
                store.0.flush().unwrap();
                let here = model.whole();
                if !here.is_empty() {
                    let number = here[index.index(here.len())];
                    damage::flip(&path, bucket, &store, number, 49);
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
    let store = opened(&path, model.now + 2 * DAY);
    store.collect().unwrap();
    let left: Vec<TreeId> = store
        .0
        .view()
        .unwrap()
        .trees()
        .unwrap()
        .into_iter()
        .map(|(tree, _)| tree)
        .collect();
    store.doom(&left).unwrap();
    store.collect().unwrap();
    prop_assert_eq!(stored(&store), [0_u32; 0]);
    check_packs(&store);
    Ok(())
}

/// Sends a tree that has all of another one in a file of the same name, and some more: only those are asked for.
fn beside_it(
    store: &Store,
    model: &mut Model,
    beside: TreeId,
    more: &[u32],
) -> Result<(), TestCaseError> {
    let incoming = store.begin();
    let other = incoming.beside(beside).unwrap();
    prop_assert_eq!(store.doom(&[beside]).unwrap(), [beside], "it is held");
    bring(&incoming, more).unwrap();
    for number in more {
        model.damaged.remove(number);
        model.pieces.entry(*number).or_insert(Some(model.now));
    }
    let (mut numbers, manifest) = (model.trees[&beside].clone(), and_more(&other, more));
    let whole = numbers.iter().all(|number| !model.damaged.contains(number));
    match incoming.seal(&manifest) {
        Ok(tree) => {
            prop_assert!(whole);
            store.release(tree);
            numbers.extend(more);
            model.sealed.insert(tree, manifest);
            model.trees.insert(tree, numbers);
        }
        Err(problem) => prop_assert!(!whole, "{}", problem),
    }
    Ok(())
}

fn and_more(other: &Manifest, more: &[u32]) -> Manifest {
    let mut entries = other.tree().entries().to_vec();
    let path = format!("more{}", entries.len()).parse().unwrap();
    let kind = EntryKind::File {
        executable: false,
        chunks: more.iter().copied().map(chunk).collect(),
    };
    entries.push(Entry { path, kind });
    Manifest::new(Tree::new(entries).unwrap()).unwrap()
}

fn check_model(store: &Store, model: &Model) {
    store.0.flush().unwrap();
    let here = model.whole();
    assert_eq!(stored(store), here);
    check_references(store, model);
    for (tree, numbers) in &model.trees {
        let manifest = store.load_tree(*tree).unwrap();
        if numbers.iter().all(|number| !model.damaged.contains(number)) {
            check_pieces(store, &manifest);
        } else {
            assert!(store.pieces(*tree, manifest.chunks()).is_err());
        }
    }
}
