//! What a collection takes, and what it leaves to whoever is at it.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[test]
fn a_collection_takes_what_no_other_tree_has() {
    let (folder, store) = store();
    let (small, large) = (save(&store, &[0, 1]), save(&store, &[0, 1, 2]));
    assert_eq!(store.doom(&[large]).unwrap(), []);
    assert_eq!(store.doom(&[large]).unwrap(), []);
    assert_eq!(store.has_tree(large), Ok(false));
    assert_eq!(stored(&store), [0, 1, 2]);
    let collected = store.collect().unwrap();
    let record = u64::from(record::HEADER_BYTES) + piece(2).1.bytes().len() as u64;
    let expected = Collected {
        trees: 1,
        pieces: 1,
        bytes: record,
    };
    assert_eq!(collected, expected);
    assert_eq!(stored(&store), [0, 1], "the last was the large one's alone");
    check_whole(&store, &[0, 1]);
    assert_eq!(files(folder.path(), "trees"), [small.to_string()]);
    assert_eq!(store.collect().unwrap(), Collected::default());
}

#[test]
fn what_an_upload_was_told_is_here_stays_until_it_has_ended() {
    let (_folder, store) = store();
    let old = save(&store, &[0, 1, 2]);
    // It found two of its chunks here; a whole collection passes before it has its name.
    let incoming = store.begin();
    let lacks = incoming.lacks(&[chunk(1), chunk(2), chunk(3)]);
    assert_eq!(lacks, Ok(vec![false, false, true]));
    assert_eq!(store.doom(&[old]).unwrap(), []);
    store.collect().unwrap();
    assert_eq!(stored(&store), [1, 2]);
    incoming.put(&[piece(3)]).unwrap();
    incoming.seal(&made_of(&[1, 2, 3])).unwrap();
    drop(incoming);
    store.collect().unwrap();
    check_whole(&store, &[1, 2, 3]);
}

#[test]
fn what_is_sealed_while_a_collection_is_under_way_keeps_all_of_its_chunks() {
    let (_folder, store) = store();
    let old = save(&store, &[0, 1, 2]);
    let incoming = store.begin();
    let lacks = incoming.lacks(&[chunk(1), chunk(2)]);
    assert_eq!(lacks, Ok(vec![false, false]));
    store.doom(&[old]).unwrap();
    // The collection has counted, and nothing had these chunks any more.
    store.count().unwrap();
    for doomed in store.0.view().unwrap().doomed().unwrap() {
        store.dismantle(doomed).unwrap();
    }
    let new = incoming.seal(&made_of(&[1, 2])).unwrap();
    drop(incoming);
    store.release(new);
    store.drop_idle(&mut Collected::default()).unwrap();
    assert_eq!(stored(&store), [1, 2]);
    check_whole(&store, &[1, 2]);
}

#[test]
fn a_tree_that_goes_before_all_of_it_is_counted_takes_no_more_than_was() {
    let numbers: Vec<u32> = (0..20).collect();
    let some: Vec<u32> = (5..15).collect();
    for steps in 0..4 {
        let (_folder, store) = store();
        save(&store, &some);
        store.count().unwrap();
        let all = save(&store, &numbers);
        for _ in 0..steps {
            store.count_step(&mut None).unwrap();
        }
        store.doom(&[all]).unwrap();
        let preview = store.preview(&[]).unwrap();
        assert_eq!(store.collect().unwrap(), preview.gone, "{steps} steps");
        assert_eq!(stored(&store), some, "{steps} steps");
        assert_eq!(store.doom(&[made_of(&some).id()]).unwrap(), []);
        store.collect().unwrap();
        assert_eq!(stored(&store), [0; 0], "{steps} steps");
    }
}

#[test]
fn two_who_count_at_once_count_once() {
    let (_folder, store) = store();
    let tree = save(&store, &(0..20).collect::<Vec<_>>());
    let late = store.next_parts(&mut None).unwrap();
    assert!(store.count_step(&mut None).unwrap());
    let counted = store.0.change(|change| store.count_parts(change, &late));
    counted.unwrap();
    store.doom(&[tree]).unwrap();
    store.collect().unwrap();
    assert_eq!(stored(&store), [0; 0]);
}

#[test]
fn a_damaged_tree_is_counted_once_its_description_has_come_again() {
    let (folder, store) = store();
    let numbers: Vec<u32> = (0..20).collect();
    let (tree, other) = (save(&store, &numbers), save(&store, &[30]));
    // Nobody can say which chunks the other one had: all are counted anew, without the first one's.
    for tree in [tree, other] {
        let path = folder.path().join(ORG.to_string()).join("trees");
        fs::write(path.join(tree.to_string()), b"nothing").unwrap();
    }
    drop(store);
    let store = store_at(folder.path(), BEGINNING);
    store.load_tree(tree).unwrap_err();
    store.doom(&[other]).unwrap();
    store.collect().unwrap();
    drop(store);
    let store = store_at(folder.path(), BEGINNING + 2 * DAY);
    store.collect().unwrap();
    assert_eq!(bring(&store.begin(), &numbers), Ok(0), "they have stayed");
    save(&store, &numbers);
    drop(store);
    let store = store_at(folder.path(), BEGINNING + 2 * DAY);
    store.collect().unwrap();
    check_whole(&store, &numbers);
    assert_eq!(stored(&store), numbers);
}

#[test]
fn a_tree_beside_which_another_one_comes_keeps_its_name() {
    let (_folder, store) = store();
    let old = save(&store, &[0, 1, 2]);
    let incoming = store.begin();
    assert_eq!(incoming.beside(old).unwrap().id(), old);
    assert_eq!(store.doom(&[old]).unwrap(), [old]);
    bring(&incoming, &[3]).unwrap();
    incoming.seal(&made_of(&[0, 1, 2, 3])).unwrap();
    drop(incoming);
    assert_eq!(store.doom(&[old]).unwrap(), []);
    store.collect().unwrap();
    check_whole(&store, &[0, 1, 2, 3]);
    let gone = store.begin().beside(old).unwrap_err();
    assert_eq!(gone.code, Code::NotFound);
}

#[test]
fn what_an_upload_held_that_broke_off_goes_with_the_next_collection() {
    let (_folder, store) = store();
    let old = save(&store, &[0, 1, 2]);
    store.doom(&[old]).unwrap();
    let incoming = store.begin();
    incoming.lacks(&[chunk(1), chunk(4)]).unwrap();
    store.collect().unwrap();
    assert_eq!(stored(&store), [1]);
    drop(incoming);
    store.collect().unwrap();
    assert_eq!(stored(&store), [0; 0]);
}

#[test]
fn what_an_upload_that_broke_off_has_brought_stays_for_a_day() {
    let (folder, store) = store();
    bring(&store.begin(), &(0..30).collect::<Vec<_>>()).unwrap();
    store.collect().unwrap();
    assert_eq!(stored(&store).len(), 30);
    drop(store);
    let store = store_at(folder.path(), BEGINNING + DAY - 3_600_000);
    store.collect().unwrap();
    assert_eq!(bring(&store.begin(), &(0..31).collect::<Vec<_>>()), Ok(1));
    // What became of a tree is not among it.
    save(&store, &[3, 4]);
    drop(store);
    let store = store_at(folder.path(), BEGINNING + DAY + 3_600_000);
    store.collect().unwrap();
    assert_eq!(stored(&store), [3, 4, 30]);
    drop(store);
    let store = store_at(folder.path(), BEGINNING + 3 * DAY);
    store.collect().unwrap();
    assert_eq!(stored(&store), [3, 4]);
    check_whole(&store, &[3, 4]);
}

#[test]
fn a_tree_that_arrived_keeps_its_name_until_a_row_has_it() {
    let (_folder, store) = store();
    let id = save(&store, &[0, 1]);
    let incoming = store.begin();
    incoming.seal(&made_of(&[0, 1])).unwrap();
    drop(incoming);
    assert_eq!(store.doom(&[id]).unwrap(), [id]);
    assert_eq!(store.has_tree(id), Ok(true));
    store.release(id);
    assert_eq!(store.doom(&[id]).unwrap(), []);
    assert_eq!(store.has_tree(id), Ok(false));
}

#[test]
fn trees_that_nobody_named_are_found_by_their_age() {
    let (folder, store) = store();
    let old = save(&store, &[0]);
    assert_eq!(store.trees_older_than(KEEP_UNNAMED).unwrap(), []);
    drop(store);
    let store = store_at(folder.path(), BEGINNING + 7 * DAY + 120_000);
    save(&store, &[1]);
    assert_eq!(store.trees_older_than(KEEP_UNNAMED).unwrap(), [old]);
    // Sent again, it waits again.
    save(&store, &[0]);
    assert_eq!(store.trees_older_than(KEEP_UNNAMED).unwrap(), []);
}

#[test]
fn a_tree_that_comes_back_while_it_goes_is_whole() {
    let (_folder, store) = store();
    let numbers: Vec<u32> = (0..20).collect();
    let id = save(&store, &numbers);
    store.doom(&[id]).unwrap();
    save(&store, &numbers);
    assert_eq!(
        store.doom(&[id]).unwrap(),
        [id],
        "the first has not gone yet"
    );
    store.collect().unwrap();
    check_whole(&store, &numbers);
    assert_eq!(store.doom(&[id]).unwrap(), []);
    store.collect().unwrap();
    assert_eq!(stored(&store), [0; 0]);
}

#[test]
fn what_is_deleted_while_somebody_reads_it_is_not_called_damaged() {
    let (_folder, store) = store();
    let id = save(&store, &[0, 1]);
    store.doom(&[id]).unwrap();
    store.collect().unwrap();
    let gone = store.pieces(id, &[chunk(0)]).unwrap_err();
    assert_eq!(
        (gone.code, &*gone.why),
        (Code::NotFound, "it was deleted meanwhile")
    );
}

#[test]
fn dead_space_is_given_back_and_what_lives_is_whole() {
    let (folder, store) = store();
    let all: Vec<u32> = (0..40).collect();
    let some: Vec<u32> = (0..40).step_by(4).collect();
    let id = save(&store, &all);
    save(&store, &some);
    let before = bytes(folder.path());
    store.doom(&[id]).unwrap();
    store.collect().unwrap();
    check_whole(&store, &some);
    assert!(
        bytes(folder.path()) < before / 2,
        "{} of {before}",
        bytes(folder.path())
    );
    drop(store);
    let store = store_at(folder.path(), BEGINNING);
    check_whole(&store, &some);
    assert_eq!(stored(&store), some);
}

fn bytes(folder: &Path) -> u64 {
    let packs = folder.join(ORG.to_string()).join("packs");
    let lengths = fs::read_dir(packs)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len());
    lengths.sum()
}

#[test]
fn what_comes_and_goes_at_once_is_whole_whenever_it_was_said_to_be_here() {
    const TREES: [&[u32]; 3] = [&[0, 1, 2, 9, 11], &[1, 2, 3, 11, 12], &[2, 3, 4, 12, 13]];
    let (_folder, store) = store();
    let ids = TREES.map(|numbers| made_of(numbers).id());
    let uploading = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let sweeper = scope.spawn(|| {
            while uploading.load(Ordering::Relaxed) {
                store.doom(&ids).unwrap();
                store.collect().unwrap();
            }
        });
        scope.spawn(|| {
            while uploading.load(Ordering::Relaxed) {
                store.count().unwrap();
            }
        });
        let uploaders = TREES.map(|numbers| {
            let store = &store;
            scope.spawn(move || (0..40).for_each(|_| comes_and_goes(store, numbers)))
        });
        let ended = uploaders.map(std::thread::ScopedJoinHandle::join);
        uploading.store(false, Ordering::Relaxed);
        sweeper.join().unwrap();
        ended.into_iter().for_each(Result::unwrap);
    });
    store.collect().unwrap();
    assert_eq!(store.doom(&ids).unwrap(), []);
    store.collect().unwrap();
    assert_eq!(stored(&store), [0; 0]);
}

fn comes_and_goes(store: &Store, numbers: &[u32]) {
    let incoming = store.begin();
    bring(&incoming, numbers).unwrap();
    let tree = incoming.seal(&made_of(numbers)).unwrap();
    drop(incoming);
    check_whole(store, numbers);
    store.release(tree);
}

#[test]
fn what_is_written_to_a_pack_while_others_are_cleared_up_moves_with_it() {
    let (_folder, store) = store();
    let all: Vec<u32> = (0..34).collect();
    let id = save(&store, &all);
    let growing = store.0.journal.growing().unwrap();
    let pack_of = |number: u32| {
        let row = store.0.view().unwrap().chunk(chunk(number).id).unwrap();
        row.unwrap().place.unwrap().pack
    };
    // Of the pack that grows more stays than of the others, which are cleared up first, into it.
    let (here, others): (Vec<u32>, Vec<u32>) = all.iter().partition(|n| pack_of(**n) == growing);
    assert!(here.len() > 10 && others.len() > 15, "{here:?}");
    let stays: Vec<u32> = others
        .iter()
        .step_by(15)
        .chain(&here[..4])
        .copied()
        .collect();
    save(&store, &stays);
    store.doom(&[id]).unwrap();
    store.collect().unwrap();
    check_whole(&store, &stays);
}
