//! Flipped bytes, lost files, and an index that is gone: nothing wrong is served, and what was lost is named.

use super::{bucket::Bucket, *};

/// Flips a bit of a stored piece, so far behind the beginning of its record.
pub(super) fn flip(folder: &Path, bucket: Option<&Bucket>, store: &Store, number: u32, at: u32) {
    let row = store
        .0
        .view()
        .unwrap()
        .chunk(chunk(number).id)
        .unwrap()
        .unwrap();
    let place = row.place.unwrap();
    let packs = match bucket.filter(|_| store.0.packs.is_away(place.pack)) {
        Some(bucket) => {
            let prefix = folder.parent().unwrap().file_name().unwrap();
            let prefix = prefix.to_str().unwrap().trim_start_matches('.');
            bucket.folder(&format!("{prefix}/{ORG}/packs"))
        }
        None => folder.join(ORG.to_string()).join("packs"),
    };
    let path = pack_file(&packs, place.pack);
    let mut bytes = fs::read(&path).unwrap();
    bytes[(place.offset + at) as usize] ^= 1;
    // In place: the store has the file open.
    use std::os::unix::fs::FileExt as _;
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&bytes, 0).unwrap();
}

#[test]
fn what_a_receiver_suspects_is_looked_at_and_the_next_upload_heals_it() {
    let (folder, store) = store();
    let numbers: Vec<u32> = (0..20).collect();
    let id = save(&store, &numbers);
    assert_eq!(store.suspect(&chunk(7)), Ok(false));
    check_whole(&store, &numbers);
    flip(folder.path(), None, &store, 7, 100);
    let piece = &store.pieces(id, &[chunk(7)]).unwrap()[0];
    assert!(piece.open(&chunk(7)).is_err(), "the receiver sees it");
    assert_eq!(store.suspect(&chunk(7)), Ok(true));
    assert_eq!(store.suspect(&chunk(7)), Ok(true));
    let lost = store.pieces(id, &[chunk(6), chunk(7)]).unwrap_err();
    assert_eq!(lost.code, Code::Checksum);
    assert!(lost.why.contains(&chunk(7).id.to_string()));
    let found = check(folder.path());
    assert!(found.is_err(), "another process has it open");

    assert_eq!(bring(&store.begin(), &numbers), Ok(1));
    save(&store, &numbers);
    check_whole(&store, &numbers);
    // It still has its reference: it goes with the tree alone.
    store.collect().unwrap();
    check_whole(&store, &numbers);
    store.doom(&[id]).unwrap();
    store.collect().unwrap();
    assert_eq!(stored(&store), [0; 0]);
}

#[test]
fn a_damaged_header_is_no_record_and_is_named() {
    let (folder, store) = store();
    let numbers: Vec<u32> = (0..10).collect();
    let id = save(&store, &numbers);
    flip(folder.path(), None, &store, 4, 20);
    let lost = store.pieces(id, &[chunk(4)]).unwrap_err();
    assert_eq!(lost.code, Code::Checksum);
    drop(store);
    let found = check(folder.path()).unwrap();
    assert_eq!(found.pieces, [chunk(4).id.to_string()]);
    assert_eq!((found.trees.len(), found.packs.len()), (0, 0));
}

#[test]
fn a_damaged_header_does_not_take_its_neighbours_along() {
    let (folder, store) = store();
    let numbers: Vec<u32> = (0..40).collect();
    save(&store, &numbers);
    let half: Vec<u32> = (0..40).step_by(2).collect();
    save(&store, &half);
    flip(folder.path(), None, &store, 2, 20);
    store.doom(&[made_of(&numbers).id()]).unwrap();
    store.collect().unwrap();
    let rest: Vec<u32> = half.iter().copied().filter(|number| *number != 2).collect();
    assert_eq!(stored(&store), rest, "all but the damaged one have moved");
    bring(&store.begin(), &[2]).unwrap();
    save(&store, &half);
    check_whole(&store, &half);
}

#[test]
fn a_damaged_description_stops_nothing_and_is_whole_after_the_next_upload() {
    let (folder, store) = store();
    let (sick, old) = ([0, 1], [1, 2]);
    let (id, gone) = (save(&store, &sick), save(&store, &old));
    store.count().unwrap();
    store.doom(&[gone]).unwrap();
    fs::write(store.tree_path(id), b"nonsense").unwrap();
    store.collect().unwrap();
    let refused = store.load_tree(id).unwrap_err();
    assert_eq!(refused.code, Code::Checksum);
    assert_eq!(store.load_tree(id).unwrap_err().code, Code::Checksum);
    assert_eq!(store.size(id).unwrap_err().code, Code::Checksum);
    assert_eq!(store.has_tree(id), Ok(false));
    assert_eq!(stored(&store), sick, "its pieces stay");
    assert_eq!(files(folder.path(), "damaged"), [id.to_string()]);

    save(&store, &sick);
    check_whole(&store, &sick);
    assert_eq!(files(folder.path(), "damaged"), [""; 0]);
    // What it refers to was not counted twice.
    store.doom(&[id]).unwrap();
    store.collect().unwrap();
    assert_eq!(stored(&store), [0; 0]);
}

#[test]
fn a_damaged_description_that_goes_leaves_no_piece_behind() {
    let (folder, store) = store();
    let (sick, well) = (save(&store, &[0, 1]), save(&store, &[1, 2]));
    fs::write(store.tree_path(sick), b"nonsense").unwrap();
    store.doom(&[sick]).unwrap();
    store.collect().unwrap();
    check_whole(&store, &[1, 2]);
    assert_eq!(files(folder.path(), "trees"), [well.to_string()]);
    drop(store);
    // Counted anew, it is of nobody; a day later it goes.
    let store = store_at(folder.path(), BEGINNING + 2 * DAY);
    store.collect().unwrap();
    assert_eq!(stored(&store), [1, 2]);
}

#[test]
fn an_index_that_is_gone_or_damaged_is_made_anew() {
    let (folder, store) = store();
    let (whole, lost) = ((0..20).collect::<Vec<_>>(), [30, 31]);
    save(&store, &whole);
    save(&store, &lost);
    save(&store, &[3, 4]);
    drop(store);
    let index = folder.path().join(ORG.to_string()).join("index.redb");
    for damaged in [false, true] {
        if damaged {
            let length = fs::metadata(&index).unwrap().len();
            fs::write(&index, vec![7; usize::try_from(length).unwrap()]).unwrap();
        } else {
            fs::remove_file(&index).unwrap();
        }
        let store = store_at(folder.path(), BEGINNING);
        check_whole(&store, &whole);
        check_whole(&store, &lost);
        check_whole(&store, &[3, 4]);
        store.collect().unwrap();
        assert_eq!(stored(&store).len(), 22);
    }
    let store = store_at(folder.path(), BEGINNING);
    store
        .doom(&[made_of(&whole).id(), made_of(&lost).id()])
        .unwrap();
    store.collect().unwrap();
    assert_eq!(stored(&store), [3, 4]);
    check_whole(&store, &[3, 4]);
}

#[test]
fn a_pack_that_is_gone_or_cut_short_is_named() {
    let (folder, store) = store();
    let numbers: Vec<u32> = (0..40).collect();
    let id = save(&store, &numbers);
    drop(store);
    let packs = folder.path().join(ORG.to_string()).join("packs");
    let names = files(folder.path(), "packs");
    fs::remove_file(packs.join(&names[0])).unwrap();
    File::options()
        .write(true)
        .open(packs.join(&names[1]))
        .unwrap()
        .set_len(100)
        .unwrap();
    let found = check(folder.path()).unwrap();
    assert_eq!(found.packs.len(), 2);
    let store = store_at(folder.path(), BEGINNING);
    let refused = store.pieces(id, made_of(&numbers).chunks()).unwrap_err();
    assert_eq!(refused.code, Code::Checksum);
    let last = store.pieces(id, &[chunk(39)]).unwrap();
    last[0].open(&chunk(39)).unwrap();
}

#[test]
fn behind_the_last_whole_piece_of_a_torn_end_nothing_stays() {
    use std::io::Write as _;
    let (folder, store) = store();
    let numbers = [1, 2];
    save(&store, &numbers);
    let growing = store.0.journal.growing().unwrap();
    let path = store.0.packs.path(growing);
    drop(store);
    let record = |number: u32| {
        let (chunk, piece) = piece(number);
        let header = record::Header::of(&chunk, &piece).unwrap();
        [&header.encode()[..], piece.bytes()].concat()
    };
    let whole = fs::metadata(&path).unwrap().len() + record(7).len() as u64;
    let mut wrong = record(8);
    *wrong.last_mut().unwrap() ^= 1;
    for torn in [&record(8)[..100], &wrong, &[0; 3000]] {
        let mut file = File::options().append(true).open(&path).unwrap();
        if fs::metadata(&path).unwrap().len() < whole {
            file.write_all(&record(7)).unwrap();
        }
        file.write_all(torn).unwrap();
        let store = store_at(folder.path(), BEGINNING);
        assert_eq!(fs::metadata(&path).unwrap().len(), whole);
        assert_eq!(stored(&store), [1, 2, 7]);
        check_whole(&store, &numbers);
        assert_eq!(bring(&store.begin(), &[7]), Ok(0));
    }
    let store = store_at(folder.path(), BEGINNING);
    save(&store, &[7, 8]);
    check_whole(&store, &[7, 8]);
}
