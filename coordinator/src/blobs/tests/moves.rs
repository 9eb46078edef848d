//! Packs on their way to a bucket and back, while others read, write and delete.

use std::sync::atomic::{AtomicBool, Ordering};

use super::bucket::Bucket;
use super::*;

/// Takes steps until everything is there; returns how many it took.
pub(super) fn settle(store: &Store, place: &StoragePlace) -> usize {
    (1..)
        .find(|_| store.go_on(place) == Ok(Moved::Done))
        .unwrap_or_default()
}

#[test]
fn everything_moves_there_and_back_and_can_be_read_all_along() {
    let bucket = Bucket::start();
    let (folder, store) = store();
    let (place, local) = (place_in(&bucket, ""), StoragePlace::Local);
    let objects = |part: &str| bucket.objects(format!("{ORG}/{part}"));
    let first: Vec<u32> = (0..40).collect();
    let id = save(&store, &first);
    let packs = files(folder.path(), "packs").len();
    assert!(packs > 2);

    assert_eq!(store.try_place(&place), Ok(()));
    assert_eq!(
        bucket.objects(ORG.to_string()),
        [""; 0],
        "the probe is gone"
    );
    assert!(matches!(store.go_on(&place), Ok(Moved::On(_))));
    assert_eq!(files(folder.path(), "packs").len(), packs - 1);
    assert_eq!(objects("packs").len(), 1);
    check_whole(&store, &first);
    // New ones go there at once, whatever still waits.
    save(&store, &[1, 41, 42]);
    assert_eq!(files(folder.path(), "packs").len(), packs - 1);
    let placed = store.placed().unwrap();
    assert!(placed.local.0 > 0 && placed.remote.0 > 0);
    let other = place_in(&bucket, "other");
    assert_eq!(store.try_place(&other).unwrap_err().code, Code::WrongState);
    assert!(store.aim(&other).is_err());

    // Turned back half-way, and back again.
    assert!(matches!(store.go_on(&local), Ok(Moved::On(0))));
    check_whole(&store, &first);
    assert_eq!(settle(&store, &place), packs + 1);
    assert_eq!(files(folder.path(), "packs"), [""; 0]);
    assert_eq!(objects("trees").len(), 2);
    check_whole(&store, &first);
    assert_eq!(store.placed().unwrap().local, Bytes::ZERO);
    store.doom(&[made_of(&[1, 41, 42]).id()]).unwrap();
    store.collect().unwrap();

    // It is held up where the bucket cannot be used, and goes on by itself.
    bucket.cut_after(0);
    let held_up = store.go_on(&local).unwrap_err();
    assert_eq!(held_up.code, Code::StorageUnreachable);
    assert_eq!(store.held_up(), Some(held_up));
    bucket.mend();
    settle(&store, &local);
    assert_eq!(store.held_up(), None);
    assert_eq!(bucket.objects(ORG.to_string()), [""; 0]);
    let placed = store.placed().unwrap();
    assert_eq!((placed.bucket, placed.remote), (None, Bytes::ZERO));
    check_whole(&store, &first);
    // By now it may be another bucket, and another process.
    drop(store);
    let store = store_at(folder.path(), BEGINNING);
    check_whole(&store, &first);
    settle(&store, &other);
    check_whole(&store, &first);
    assert_eq!(
        bucket.objects(format!("other/{ORG}/trees")),
        [id.to_string()]
    );
}

#[test]
fn what_is_damaged_holds_no_move_up() {
    let bucket = Bucket::start();
    let (folder, store) = store();
    let place = place_in(&bucket, "lab");
    let numbers: Vec<u32> = (0..40).collect();
    let id = save(&store, &numbers);
    let lost = |number: u32, store: &Store| {
        let row = store.0.view().unwrap().chunk(chunk(number).id).unwrap();
        row.unwrap().place.unwrap().pack
    };
    let gone = store.0.packs.path(lost(0, &store));
    drop(store);
    fs::remove_file(gone).unwrap();
    let store = store_at(folder.path(), BEGINNING);
    settle(&store, &place);
    assert_eq!(files(folder.path(), "packs"), [""; 0]);
    let gone = lost(39, &store);
    fs::remove_file(pack_file(&bucket.folder(&format!("lab/{ORG}/packs")), gone)).unwrap();
    settle(&store, &StoragePlace::Local);
    let here = stored(&store);
    assert!(!here.contains(&0) && !here.contains(&39) && here.len() > 10);
    for number in here {
        let piece = &store.pieces(id, &[chunk(number)]).unwrap()[0];
        piece.open(&chunk(number)).unwrap();
    }
    save(&store, &numbers);
    check_whole(&store, &numbers);
}

#[test]
fn uploads_reads_looks_collections_and_moves_at_once_lose_nothing() {
    let bucket = Bucket::start();
    let (folder, store) = store();
    let place = place_in(&bucket, "lab");
    let ended = AtomicBool::new(false);
    let trees = |from: u32| (0..6).map(move |at| (from + at..from + at + 10).collect::<Vec<_>>());
    std::thread::scope(|scope| {
        let (store, ended, place) = (&store, &ended, &place);
        let ends = || ended.load(Ordering::SeqCst);
        scope.spawn(move || {
            while !ends() {
                store.collect().unwrap();
            }
        });
        scope.spawn(move || {
            while !ends() {
                // A pack may go while it is looked through; nothing is taken for damaged that is not.
                let step = store.scrub_step(Timestamp::from_unix_ms(BEGINNING));
                if let Ok(Scrubbed::Done(scrub)) = step {
                    assert_eq!(scrub.damaged, 0);
                }
            }
        });
        scope.spawn(move || {
            for turn in 0.. {
                let back = turn % 16 >= 8;
                let place = if back { &StoragePlace::Local } else { place };
                store.go_on(place).unwrap();
                if ends() {
                    break;
                }
            }
        });
        std::thread::scope(|uploads| {
            for from in [0, 8, 16] {
                uploads.spawn(move || {
                    for numbers in trees(from) {
                        let incoming = store.begin();
                        bring(&incoming, &numbers).unwrap();
                        let tree = incoming.seal(&made_of(&numbers)).unwrap();
                        check_whole(store, &numbers);
                        store.release(tree);
                        // Every other one goes again.
                        if !numbers[0].is_multiple_of(2) {
                            store.doom(&[tree]).unwrap();
                        }
                    }
                });
            }
        });
        ended.store(true, Ordering::SeqCst);
    });
    let check = |store: &Store| {
        let all = [0, 8, 16].into_iter().flat_map(trees);
        let kept = all.filter(|numbers| numbers[0].is_multiple_of(2));
        kept.for_each(|numbers| check_whole(store, &numbers));
    };
    check(&store);
    settle(&store, &place);
    check(&store);
    assert_eq!(files(folder.path(), "packs"), [""; 0]);
    store.collect().unwrap();
    let packs = store.0.view().unwrap().packs().unwrap();
    assert_eq!(
        bucket.objects(format!("lab/{ORG}/packs")).len(),
        packs.len()
    );
    settle(&store, &StoragePlace::Local);
    check(&store);
    assert_eq!(bucket.objects("lab"), [""; 0]);
}

#[test]
fn what_was_shipped_and_not_committed_comes_home_too() {
    let bucket = Bucket::start();
    let (folder, store) = store();
    let (place, local) = (place_in(&bucket, ""), StoragePlace::Local);
    assert_eq!(store.try_place(&place), Ok(()));
    settle(&store, &place);
    // An upload whose pieces fill packs, which go to the bucket before it ends.
    let incoming = store.begin();
    let all: Vec<u32> = (0..9).collect();
    bring(&incoming, &all).unwrap();
    store.0.ship(true).unwrap();
    assert!(!bucket.objects(format!("{ORG}/packs")).is_empty());
    let shipped = store.0.journal.snapshot(&store.0.packs).unwrap().shipped;
    assert!(shipped.len() + files(folder.path(), "packs").len() > 0);
    settle(&store, &local);
    let tree = incoming.seal(&made_of(&all)).unwrap();
    store.release(tree);
    drop(incoming);
    check_whole(&store, &all);
    assert_eq!(bucket.objects(ORG.to_string()), [""; 0]);
}

#[test]
fn what_a_dead_process_was_about_to_write_takes_nobodys_place() {
    let bucket = Bucket::start();
    let place = place_in(&bucket, "lab");
    let (folder, before) = store();
    settle(&before, &place);
    bring(&before.begin(), &[1, 2, 3]).unwrap();
    before.0.ship(true).unwrap();
    let packs = bucket.folder(&format!("lab/{ORG}/packs"));
    let late = bucket.objects(format!("lab/{ORG}/packs")).remove(0);
    let late = (packs.join(&late), fs::read(packs.join(&late)).unwrap());
    // It dies with its disk, and the request is under way still.
    drop((before, folder));
    fs::remove_file(&late.0).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let homes = Fixed::at(place);
    let stores = stores_of(folder.path(), BEGINNING, homes);
    let store = stores.org(ORG).unwrap();
    let numbers = [11, 12, 13, 14, 16];
    save(&store, &numbers);
    assert_eq!(files(folder.path(), "packs"), [""; 0]);
    fs::write(late.0, late.1).unwrap();
    check_whole(&store, &numbers);
    // It goes as nobody's.
    store.collect().unwrap();
    check_whole(&store, &numbers);
    let here = bucket.objects(format!("lab/{ORG}/packs")).len();
    assert_eq!(here, store.0.view().unwrap().packs().unwrap().len());
}
