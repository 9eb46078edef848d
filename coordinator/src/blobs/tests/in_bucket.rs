//! A store whose packs live in a bucket: what is in it, what is not, and what happens when it cannot be used.

use super::bucket::{Bucket, SECRET};
use super::*;

/// A store that keeps its packs there.
fn store_in(bucket: &Bucket) -> (TempDir, Arc<Fixed>, Store) {
    let folder = tempfile::tempdir().unwrap();
    let homes = Fixed::at(place_in(bucket, "lab"));
    let store = reopened(folder.path(), &homes, BEGINNING);
    (folder, homes, store)
}

fn reopened(folder: &Path, homes: &Arc<Fixed>, at: u64) -> Store {
    let homes: Arc<dyn Homes> = homes.clone();
    stores_of(folder, at, homes).org(ORG).unwrap()
}

fn objects(bucket: &Bucket, part: &str) -> Vec<String> {
    bucket.objects(format!("lab/{ORG}/{part}"))
}

#[test]
fn what_was_sealed_is_in_the_bucket_and_goes_from_there() {
    let bucket = Bucket::start();
    let (folder, homes, store) = store_in(&bucket);
    let (first, second): (Vec<u32>, Vec<u32>) = ((0..30).collect(), (20..40).collect());
    let (gone, stays) = (save(&store, &first), save(&store, &second));
    assert_eq!(files(folder.path(), "packs"), [""; 0]);
    assert!(objects(&bucket, "packs").len() > 4);
    let mut trees = [gone.to_string(), stays.to_string()];
    trees.sort();
    assert_eq!(objects(&bucket, "trees"), trees);
    check_whole(&store, &first);
    check_whole(&store, &second);
    assert_eq!(bring(&store.begin(), &first), Ok(0));

    // What was not sealed is on the disk, and brought once all the same.
    assert_eq!(bring(&store.begin(), &[41]), Ok(1));
    drop(store);
    let store = reopened(folder.path(), &homes, BEGINNING);
    check_whole(&store, &second);
    assert_eq!(bring(&store.begin(), &[41]), Ok(0));

    store.doom(&[gone]).unwrap();
    store.collect().unwrap();
    assert_eq!(objects(&bucket, "trees"), [stays.to_string()]);
    check_whole(&store, &second);
    assert_eq!(stored(&store), second);
    store.doom(&[stays]).unwrap();
    drop(store);
    let store = reopened(folder.path(), &homes, BEGINNING + 2 * DAY);
    store.collect().unwrap();
    assert_eq!(objects(&bucket, "packs"), [""; 0]);
    assert_eq!(objects(&bucket, "trees"), [""; 0]);
}

#[test]
fn a_bucket_alone_says_what_is_in_it() {
    let bucket = Bucket::start();
    let (folder, homes, store) = store_in(&bucket);
    let numbers: Vec<u32> = (0..30).collect();
    let id = save(&store, &numbers);
    save(&store, &[3, 4]);
    drop(store);
    // Without its index, then without its disk.
    let org = folder.path().join(ORG.to_string());
    fs::remove_file(org.join("index.redb")).unwrap();
    bucket.cut_after(0);
    let homes_now: Arc<dyn Homes> = homes.clone();
    let refused = stores_of(folder.path(), BEGINNING, homes_now).org(ORG);
    assert_eq!(refused.unwrap_err().code, Code::StorageUnreachable);
    bucket.mend();
    let store = reopened(folder.path(), &homes, BEGINNING);
    check_whole(&store, &numbers);
    check_whole(&store, &[3, 4]);
    drop(store);
    fs::remove_dir_all(&org).unwrap();
    let store = reopened(folder.path(), &homes, BEGINNING);
    check_whole(&store, &numbers);
    store.doom(&[id]).unwrap();
    store.collect().unwrap();
    assert_eq!(stored(&store), [3, 4]);
    check_whole(&store, &[3, 4]);
    assert_eq!(objects(&bucket, "trees").len(), 1);
}

#[test]
fn small_packs_become_one() {
    let bucket = Bucket::start();
    let (_folder, _homes, store) = store_in(&bucket);
    // Each of them a tree of its own.
    for number in 0..12 {
        save(&store, &[5 * number]);
    }
    assert_eq!(objects(&bucket, "packs").len(), 12);
    store.collect().unwrap();
    assert_eq!(objects(&bucket, "packs").len(), 1);
    (0..12).for_each(|number| check_whole(&store, &[5 * number]));
    store.collect().unwrap();
    assert_eq!(objects(&bucket, "packs").len(), 1);
}

#[test]
fn what_is_written_while_small_packs_become_one_is_in_none_that_goes() {
    let bucket = Bucket::start();
    let (folder, homes, store) = store_in(&bucket);
    for number in 0..12 {
        save(&store, &[5 * number]);
    }
    let gone = save(&store, &[70, 71]);
    store.doom(&[gone]).unwrap();
    let incoming = store.begin();
    bring(&incoming, &[99]).unwrap();
    let mut came = meanwhile::while_others_write(&store, 100, || {
        store.collect().unwrap();
    });
    assert!(came.len() > 10, "{came:?}");
    came.insert(0, 99);
    incoming.seal(&made_of(&came)).unwrap();
    store.release(made_of(&came).id());
    drop(incoming);
    check_whole(&store, &came);
    (0..12).for_each(|number| check_whole(&store, &[5 * number]));
    drop(store);
    check_whole(&reopened(folder.path(), &homes, BEGINNING), &came);
}

#[test]
fn a_bucket_that_cannot_be_used_refuses_what_comes_and_loses_nothing() {
    let bucket = Bucket::start();
    let (folder, homes, store) = store_in(&bucket);
    let first: Vec<u32> = (0..10).collect();
    save(&store, &first);
    let (second, third): (Vec<u32>, Vec<u32>) = ((10..30).collect(), (30..40).collect());
    let scrub = || store.scrub_step(Timestamp::from_unix_ms(BEGINNING));
    for bytes in [0, 3_000] {
        // Also in the middle of an object.
        bucket.cut_after(bytes);
        let incoming = store.begin();
        let failed = bring(&incoming, &second).and_then(|_| incoming.seal(&made_of(&second)));
        let failed = failed.unwrap_err();
        assert_eq!(failed.code, Code::StorageUnreachable, "{failed}");
        assert!(failed.why.contains("s3://data"), "{failed}");
        assert_eq!(store.has_tree(made_of(&second).id()), Ok(false));
        let failed = store.pieces(made_of(&first).id(), &[chunk(1)]).unwrap_err();
        assert_eq!(failed.code, Code::StorageUnreachable, "{failed}");
        // Nothing is taken for damaged, and what needs no bucket goes on.
        assert_eq!(store.has_tree(made_of(&first).id()), Ok(true));
        while let Ok(Scrubbed::On(_)) = scrub() {}
        store.collect().unwrap();
    }
    bucket.mend();
    check_whole(&store, &first);
    save(&store, &second);
    check_whole(&store, &second);
    drop(store);

    *homes.keys.lock().unwrap() = ["AKIDEXAMPLE", "a wrong secret"].map(str::to_owned);
    let store = reopened(folder.path(), &homes, BEGINNING);
    let incoming = store.begin();
    let refused = bring(&incoming, &third).and_then(|_| incoming.seal(&made_of(&third)));
    let refused = refused.unwrap_err();
    assert_eq!(refused.code, Code::StorageRefused, "{refused}");
    let text = format!("{refused} {refused:?}");
    assert!(
        !text.contains("wrong secret") && !text.contains("AKID"),
        "{text}"
    );
    // As soon as they are right, without being opened anew, and what was brought is here.
    *homes.keys.lock().unwrap() = [bucket::ID, SECRET].map(str::to_owned);
    assert!(bring(&incoming, &third).unwrap() < third.len());
    incoming.seal(&made_of(&third)).unwrap();
    check_whole(&store, &third);
    store.collect().unwrap();
    let held: Vec<String> = objects(&bucket, "packs");
    let packs = store.0.view().unwrap().packs().unwrap();
    let names: Vec<String> = packs
        .iter()
        .map(|(number, _)| format!("{number:08}"))
        .collect();
    let held: Vec<&str> = held.iter().map(|name| &name[..8]).collect();
    assert_eq!(held, names, "nothing that broke off is left");
}

#[test]
fn what_a_bucket_has_lost_or_changed_is_named_and_healed_by_the_next_upload() {
    let bucket = Bucket::start();
    let (_folder, _homes, store) = store_in(&bucket);
    let numbers: Vec<u32> = (0..40).collect();
    let id = save(&store, &numbers);
    let packs = bucket.folder(&format!("lab/{ORG}/packs"));
    let place = |number: u32| {
        let row = store.0.view().unwrap().chunk(chunk(number).id).unwrap();
        row.unwrap().place.unwrap()
    };
    // A piece that is not what it was, an object that is cut short, and one that is gone.
    let sick = place(1);
    let path = pack_file(&packs, sick.pack);
    let mut bytes = fs::read(&path).unwrap();
    bytes[sick.offset as usize + 60] ^= 1;
    fs::write(&path, bytes).unwrap();
    let short = place(20);
    let path = pack_file(&packs, short.pack);
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(10)
        .unwrap();
    let lost = place(39);
    fs::remove_file(pack_file(&packs, lost.pack)).unwrap();
    assert!(sick.pack != short.pack && short.pack != lost.pack);

    assert_eq!(store.suspect(&chunk(1)), Ok(true));
    for number in [1, 20, 39] {
        let damaged = store.pieces(id, &[chunk(number)]).unwrap_err();
        assert_eq!(damaged.code, Code::Checksum, "{number}: {damaged}");
    }
    let scrub = loop {
        let now = Timestamp::from_unix_ms(BEGINNING);
        if let Scrubbed::Done(scrub) = store.scrub_step(now).unwrap() {
            break scrub;
        }
    };
    assert!(scrub.damaged > 2, "{scrub:?}");
    assert!(scrub.named.contains(&chunk(39).id));
    let brought = bring(&store.begin(), &numbers).unwrap();
    assert_eq!(brought as u64, scrub.damaged);
    save(&store, &numbers);
    check_whole(&store, &numbers);
    store.collect().unwrap();
    check_whole(&store, &numbers);
}

#[test]
fn a_deleted_org_leaves_nothing_in_its_bucket() {
    let bucket = Bucket::start();
    let folder = tempfile::tempdir().unwrap();
    let homes = Fixed::at(place_in(&bucket, "lab"));
    let stores = stores_of(folder.path(), BEGINNING, homes);
    save(&stores.org(ORG).unwrap(), &[1, 2, 3]);
    assert_eq!(objects(&bucket, "packs").len(), 1);
    stores.remove(ORG).unwrap();
    assert_eq!(objects(&bucket, "packs"), [""; 0]);
    assert_eq!(objects(&bucket, "trees"), [""; 0]);
    // Where it cannot be used any more, the org goes all the same.
    save(&stores.org(ORG).unwrap(), &[1, 2, 3]);
    bucket.cut_after(0);
    stores.remove(ORG).unwrap();
    assert_eq!(stores.orgs().unwrap(), []);
}

#[test]
fn a_bucket_that_is_gone_is_no_reason_to_forget_what_it_had() {
    let bucket = Bucket::start();
    let (folder, homes, store) = store_in(&bucket);
    let numbers: Vec<u32> = (0..20).collect();
    let id = save(&store, &numbers);
    let here = bucket.folder("");
    let gone = here.with_file_name("gone");
    fs::rename(&here, &gone).unwrap();
    let failed = store.pieces(id, &[chunk(1)]).unwrap_err();
    assert_eq!(failed.code, Code::StorageUnreachable, "{failed}");
    assert!(failed.why.contains("there is no bucket"), "{failed}");
    assert!(store.suspect(&chunk(1)).is_err());
    let now = Timestamp::from_unix_ms(BEGINNING);
    assert!(store.scrub_step(now).is_err());
    store.go_on(&StoragePlace::Local).unwrap_err();
    fs::rename(&gone, &here).unwrap();
    check_whole(&store, &numbers);
    assert_eq!(stored(&store), numbers);
    drop(store);

    // Nor is a server that does not speak TLS where it should.
    let place = bucket.place("lab").replace("http://", "https://");
    let place = place.trim_end_matches("&insecure=yes").parse().unwrap();
    let other = Arc::new(Fixed {
        place,
        keys: Mutex::new(homes.keys.lock().unwrap().clone()),
    });
    fs::remove_dir_all(folder.path().join(ORG.to_string())).unwrap();
    let homes: Arc<dyn Homes> = other;
    let refused = stores_of(folder.path(), BEGINNING, homes).org(ORG);
    let refused = refused.unwrap_err();
    assert_eq!(refused.code, Code::StorageUnreachable);
    assert!(refused.why.contains("no connection"), "{refused}");
}

#[test]
fn a_pack_that_cannot_be_read_holds_up_nobody_but_who_brought_it() {
    let bucket = Bucket::start();
    let (folder, _homes, store) = store_in(&bucket);
    let numbers = [1, 2, 3];
    for unreadable in ["/nowhere", "/proc/self/mem"] {
        let incoming = store.begin();
        assert_eq!(bring(&incoming, &numbers), Ok(3));
        let packs = folder.path().join(ORG.to_string()).join("packs");
        let growing = packs::path_in(&packs, store.0.journal.growing().unwrap());
        fs::remove_file(&growing).unwrap();
        // It is not there, or the system cannot read it.
        std::os::unix::fs::symlink(unreadable, &growing).unwrap();
        let lost = incoming.seal(&made_of(&numbers)).unwrap_err();
        assert_eq!(lost.code, Code::Io, "{lost}");
        assert!(lost.help.starts_with("Try again"), "{lost}");
        save(&store, &[10, 11]);
        check_whole(&store, &[10, 11]);
        drop(incoming);
        fs::remove_file(&growing).unwrap();
    }
    save(&store, &numbers);
    check_whole(&store, &numbers);
    // What the index has of one is set aside where it moves.
    bring(&store.begin(), &[20, 21]).unwrap();
    store.0.commit_here(store::arrive_all).unwrap();
    let view = store.0.view().unwrap();
    let place = view.chunk(chunk(21).id).unwrap().unwrap().place.unwrap();
    let path = store.0.packs.path(place.pack);
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/proc/self/mem", &path).unwrap();
    store.0.packs.forget_open();
    store.0.flush().unwrap();
    moves::settle(&store, &place_in(&bucket, "lab"));
    assert!(!stored(&store).contains(&21));
    save(&store, &[20, 21]);
    check_whole(&store, &[20, 21]);
}
