//! Orgs, uploads and reading, without anything going wrong.

use super::*;

#[test]
fn what_was_sealed_is_here_and_is_brought_once() {
    let (folder, store) = store();
    let first: Vec<u32> = (0..40).collect();
    let incoming = store.begin();
    assert_eq!(bring(&incoming, &first), Ok(40));
    assert_eq!(bring(&incoming, &first), Ok(0), "before it is sealed");
    incoming.seal(&made_of(&first)).unwrap();
    drop(incoming);
    check_whole(&store, &first);
    assert!(files(folder.path(), "packs").len() > 2);
    assert_eq!(bring(&store.begin(), &first), Ok(0));
    let grown: Vec<u32> = (0..41).collect();
    assert_eq!(bring(&store.begin(), &grown), Ok(1));
    save(&store, &grown);

    drop(store);
    let store = store_at(folder.path(), BEGINNING);
    check_whole(&store, &first);
    check_whole(&store, &grown);
    assert_eq!(bring(&store.begin(), &grown), Ok(0));
    let row = store.size(made_of(&grown).id()).unwrap();
    let bytes: u64 = grown
        .iter()
        .map(|number| u64::from(chunk(*number).bytes))
        .sum();
    assert_eq!(row, (Bytes(bytes), 1));
    let unknown = store.load_tree(made_of(&[7]).id()).unwrap_err();
    assert_eq!(unknown.code, Code::NotFound);
}

#[test]
fn orgs_share_nothing_and_a_deleted_one_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let stores = stores_at(folder.path(), BEGINNING);
    let other = OrgId::from_bytes([2; 16]);
    let (ours, theirs) = (stores.org(ORG).unwrap(), stores.org(other).unwrap());
    save(&ours, &[1, 2, 3]);
    assert_eq!(bring(&theirs.begin(), &[1, 2, 3]), Ok(3));
    save(&theirs, &[1, 2, 3]);
    let mut orgs = stores.orgs().unwrap();
    orgs.sort_unstable();
    assert_eq!(orgs, [ORG, other]);

    // Somebody still reads it.
    stores.remove(ORG).unwrap();
    assert_eq!(stores.orgs().unwrap(), [other]);
    check_whole(&theirs, &[1, 2, 3]);
    assert_eq!(stored(&stores.org(ORG).unwrap()), [0; 0]);
    stores.remove(ORG).unwrap();
    stores.remove(ORG).unwrap();

    // Killed in the middle of a deletion.
    let half = folder.path().join(format!("{GOING}{ORG}"));
    fs::create_dir_all(half.join("packs")).unwrap();
    drop((ours, theirs, stores));
    let stores = stores_at(folder.path(), BEGINNING);
    assert!(!half.exists());
    assert_eq!(stores.orgs().unwrap(), [other]);
}

#[test]
fn stores_that_nobody_uses_are_closed_and_open_again() {
    let folder = tempfile::tempdir().unwrap();
    let stores = stores_at(folder.path(), BEGINNING);
    let orgs: Vec<OrgId> = (0..20)
        .map(|number| OrgId::from_bytes([number; 16]))
        .collect();
    let busy = stores.org(orgs[0]).unwrap();
    let uploading = busy.begin();
    drop(busy);
    for org in &orgs[1..] {
        save(&stores.org(*org).unwrap(), &[5, 6]);
    }
    assert!(
        stores.slots().len() <= MAX_IDLE + 1,
        "{}",
        stores.slots().len()
    );
    assert!(stores.slots().contains_key(&orgs[0]), "it is used");
    for org in &orgs[1..] {
        check_whole(&stores.org(*org).unwrap(), &[5, 6]);
    }
    drop(uploading);
}

#[test]
fn a_tree_is_not_sealed_before_its_pieces() {
    let (_folder, store) = store();
    let incoming = store.begin();
    bring(&incoming, &[0]).unwrap();
    let refused = incoming.seal(&tree(2)).unwrap_err();
    assert_eq!(refused.code, Code::BadRequest);
    assert!(refused.why.contains(&chunk(1).id.to_string()), "{refused}");
    assert_eq!(store.has_tree(tree(2).id()), Ok(false));
    bring(&incoming, &[1]).unwrap();
    incoming.seal(&tree(2)).unwrap();
    check_whole(&store, &[0, 1]);
    // One whose size is another is not the piece that is here.
    let claimed = ChunkRef {
        bytes: 3,
        ..chunk(0)
    };
    assert_eq!(incoming.lacks(&[claimed]), Ok(vec![true]));
}

#[test]
fn a_form_in_which_nothing_is_kept_is_refused() {
    let (_folder, store) = store();
    let incoming = store.begin();
    let long = Piece::from_parts(link::trees::piece::Encoding::Zstd, vec![1; 2000].into());
    let refused = incoming.put(&[piece(1), (chunk(2), long)]).unwrap_err();
    assert_eq!(refused.code, Code::BadRequest);
    assert_eq!(incoming.lacks(&[chunk(1)]), Ok(vec![true]));
}

#[test]
fn many_uploads_at_once_are_whole() {
    let (folder, store) = store();
    std::thread::scope(|scope| {
        for from in 0..6 {
            let store = &store;
            scope.spawn(move || {
                let numbers: Vec<u32> = (from..from + 30).collect();
                let incoming = store.begin();
                std::thread::scope(|streams| {
                    for part in numbers.chunks(10) {
                        let incoming = &incoming;
                        streams.spawn(move || bring(incoming, part).unwrap());
                    }
                });
                incoming.seal(&made_of(&numbers)).unwrap();
                check_whole(store, &numbers);
            });
        }
    });
    drop(store);
    let store = store_at(folder.path(), BEGINNING);
    for from in 0..6 {
        check_whole(&store, &(from..from + 30).collect::<Vec<_>>());
    }
}

#[test]
fn pieces_come_in_the_order_in_which_they_were_asked_for() {
    let (_folder, store) = store();
    let id = save(&store, &(0..30).collect::<Vec<_>>());
    let asked: Vec<ChunkRef> = [29, 3, 3, 17, 0, 29, 1].map(chunk).to_vec();
    let pieces = store.pieces(id, &asked).unwrap();
    for (chunk, piece) in asked.iter().zip(pieces) {
        piece.open(chunk).unwrap();
    }
    assert_eq!(store.pieces(id, &[]), Ok(Vec::new()));
}

#[test]
fn what_does_not_fit_on_the_disk_is_refused_before_it_comes() {
    let (_folder, store) = store();
    let refused = store.begin().reserve(Bytes(u64::MAX / 2)).unwrap_err();
    assert_eq!(refused.code, Code::DiskFull);
    store.begin().reserve(Bytes(1000)).unwrap();
}

#[test]
fn a_folder_from_before_packs_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("chunks/ab")).unwrap();
    let clock = Arc::new(Clock::starting_at(Timestamp::from_unix_ms(BEGINNING)));
    let refused = Stores::open(folder.path(), clock, all_local()).unwrap_err();
    assert_eq!(refused.code, Code::WrongState);
    assert!(refused.help.contains("Move it away"));
    assert!(folder.path().join("chunks/ab").is_dir());
}
