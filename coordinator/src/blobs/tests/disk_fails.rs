//! The disk takes what is written and fails to keep it: what was stored stays, what was not is nowhere.

use super::{store::Inner, *};

const FIRST: std::ops::Range<u32> = 0..10;
const SECOND: std::ops::Range<u32> = 5..16;

fn numbers(range: std::ops::Range<u32>) -> Vec<u32> {
    range.collect()
}

/// Checks that the tree is whole, that nothing else is here, and that another try brings it.
fn check_lost(folder: &Path, store: &Store, whole: &[u32], lost: &[u32]) {
    check_whole(store, whole);
    assert_eq!(store.has_tree(made_of(lost).id()), Ok(false));
    assert_eq!(stored(store), whole);
    for name in files(folder, "packs") {
        let number: u32 = name.parse().unwrap();
        let view = store.0.view().unwrap();
        let packs = view.packs().unwrap();
        let row = packs.iter().find(|(pack, _)| *pack == number);
        let known = row.map_or(0, |(_, pack)| u64::from(pack.bytes));
        assert_eq!(store.0.packs.length(number).unwrap(), known, "{name}");
    }
    let lacking = lost.iter().filter(|number| !whole.contains(number));
    let incoming = store.begin();
    assert_eq!(bring(&incoming, lost), Ok(lacking.count()));
    store.release(incoming.seal(&made_of(lost)).unwrap());
    check_whole(store, lost);
    check_whole(store, whole);
}

fn check_sound(folder: &Path, store: Store, trees: &[&[u32]]) {
    drop(store);
    let store = store_at(folder, BEGINNING);
    for tree in trees {
        check_whole(&store, tree);
    }
    drop(store);
    assert_eq!(check(folder).unwrap(), Unsound::default());
}

#[test]
fn a_tree_whose_pieces_the_disk_did_not_keep_is_not_stored() {
    let (folder, store) = store();
    let (first, second) = (numbers(FIRST), numbers(SECOND));
    save(&store, &first);
    let (incoming, other) = (store.begin(), store.begin());
    assert_eq!(bring(&incoming, &second[..8]), Ok(3));
    assert_eq!(bring(&other, &[30, 31]), Ok(2));
    assert_eq!(bring(&incoming, &second[8..]), Ok(3));
    store
        .0
        .packs
        .fail_to_sync(store.0.journal.growing().unwrap());
    let refused = incoming.seal(&made_of(&second)).unwrap_err();
    assert_eq!(refused.code, Code::Io, "{refused}");

    // Somebody whose pieces went with them hears why, and what to do; who has not sent one, what is missing.
    let lost = other.seal(&made_of(&[30, 31])).unwrap_err();
    assert_eq!(lost.code, Code::Io, "{lost}");
    assert!(lost.why.contains("disk failed to keep"), "{lost}");
    assert!(lost.help.starts_with("Try again"));
    let missing = store.begin().seal(&made_of(&[30, 31])).unwrap_err();
    assert_eq!(missing.code, Code::BadRequest, "{missing}");
    drop((incoming, other));

    check_lost(folder.path(), &store, &first, &second);
    check_sound(folder.path(), store, &[&first, &second]);
}

#[test]
fn pieces_of_a_full_pack_that_the_disk_did_not_keep_are_refused() {
    let (folder, store) = store();
    let (first, second) = (numbers(FIRST), numbers(20..40));
    save(&store, &first);
    let incoming = store.begin();
    store
        .0
        .packs
        .fail_to_sync(store.0.journal.growing().unwrap());
    let refused = bring(&incoming, &second).unwrap_err();
    assert_eq!(refused.code, Code::Io, "{refused}");
    drop(incoming);
    check_lost(folder.path(), &store, &first, &second);
    check_sound(folder.path(), store, &[&first, &second]);
}

#[test]
fn nothing_is_committed_between_a_failure_to_sync_and_the_note_of_it() {
    let (folder, store) = store();
    let (first, second) = (numbers(FIRST), numbers(SECOND));
    save(&store, &first);
    let incoming = store.begin();
    assert_eq!(bring(&incoming, &second), Ok(6));
    let Inner { journal, packs, .. } = &*store.0;
    // The system says it once: to an upload that has filled the pack.
    let pack = journal.growing().unwrap();
    packs.fail_to_sync(pack);
    journal.sync_full(packs, pack).unwrap_err();
    packs.sync(pack).unwrap();
    let lost = incoming.seal(&made_of(&second)).unwrap_err();
    assert_eq!(lost.code, Code::Io, "{lost}");
    // The upload hears of it afterwards, and nothing is lost twice.
    assert_eq!(bring(&store.begin(), &second), Ok(6));
    journal.lose(packs).unwrap();
    assert_eq!(bring(&store.begin(), &second), Ok(0));
    drop(incoming);
    save(&store, &second);
    check_sound(folder.path(), store, &[&first, &second]);
}

#[test]
fn a_pack_stays_when_the_disk_did_not_keep_what_was_copied_of_it() {
    let (folder, store) = store();
    let (first, second) = (numbers(FIRST), numbers(SECOND));
    save(&store, &first);
    let (pack, row) = store.0.view().unwrap().packs().unwrap()[0];
    store.0.journal.retire(pack);
    let moves = store.copy_live(&[(pack, row)]).unwrap();
    // An upload beside it meets the failure.
    assert_eq!(bring(&store.begin(), &second), Ok(6));
    store
        .0
        .packs
        .fail_to_sync(store.0.journal.growing().unwrap());
    store.0.flush().unwrap_err();
    let error = store.leave(&[(pack, row)], &moves).unwrap_err();
    assert!(matches!(error, BlobError::Lost), "{error}");
    check_lost(folder.path(), &store, &first, &second);

    let moves = store.copy_live(&[(pack, row)]).unwrap();
    store.leave(&[(pack, row)], &moves).unwrap();
    assert!(!store.0.packs.path(pack).exists());
    check_sound(folder.path(), store, &[&first, &second]);
}
