//! A store knows its bucket by the mark that it has left there.

use super::{bucket::Bucket, moves::settle, *};

const MARK: &str = "store.json";

fn mark_in(bucket: &Bucket, prefix: &str) -> PathBuf {
    bucket.folder(&format!("{prefix}/{ORG}")).join(MARK)
}

#[test]
fn a_bucket_of_another_store_is_refused_and_left_as_it_is() {
    let bucket = Bucket::start();
    let (place, numbers) = (place_in(&bucket, "lab"), [1, 2, 3]);
    let (folder, first) = store();
    save(&first, &numbers);
    settle(&first, &place);
    let before = bucket.objects("lab");

    // One of the same org, of another coordinator: it has data of its own.
    let (_folder, second) = store();
    save(&second, &[4, 5]);
    let refused = second.try_place(&place).unwrap_err();
    assert_eq!(refused.code, Code::StorageForeign, "{refused}");
    assert!(refused.why.contains("another store"), "{refused}");
    let refused = second.go_on(&place).unwrap_err();
    assert_eq!(refused.code, Code::StorageForeign, "{refused}");
    second.collect().unwrap();
    assert_eq!(bucket.objects("lab"), before);
    check_whole(&second, &[4, 5]);
    check_whole(&first, &numbers);

    // Nor does a store use a bucket that has become another one's meanwhile.
    let mark = mark_in(&bucket, "lab");
    let other = fs::read_to_string(&mark).unwrap();
    let other = other.replace("\"store\":\"", "\"store\":\"f");
    fs::write(&mark, other).unwrap();
    drop(first);
    let first = store_at(folder.path(), BEGINNING);
    let incoming = first.begin();
    bring(&incoming, &[7]).unwrap();
    let refused = incoming.seal(&made_of(&[7])).unwrap_err();
    assert_eq!(refused.code, Code::StorageForeign, "{refused}");
    let refused = first.pieces(made_of(&numbers).id(), &[chunk(1)]);
    assert_eq!(refused.unwrap_err().code, Code::StorageForeign);
    assert_eq!(bucket.objects("lab"), before);
}

#[test]
fn what_is_missing_from_a_bucket_without_the_mark_is_not_forgotten() {
    let bucket = Bucket::start();
    let place = place_in(&bucket, "lab");
    let (_folder, store) = store();
    let numbers: Vec<u32> = (0..20).collect();
    let id = save(&store, &numbers);
    settle(&store, &place);
    // It answers, lists and is empty: it is another one of that name.
    let (here, away) = (bucket.folder("lab"), bucket.folder("away"));
    fs::rename(&here, &away).unwrap();
    let failed = store.pieces(id, &[chunk(1)]).unwrap_err();
    assert_eq!(failed.code, Code::StorageForeign, "{failed}");
    assert!(store.suspect(&chunk(1)).is_err());
    let now = Timestamp::from_unix_ms(BEGINNING);
    while let Ok(Scrubbed::On(_)) = store.scrub_step(now) {}
    store.collect().unwrap();
    store.go_on(&StoragePlace::Local).unwrap_err();
    fs::rename(&away, &here).unwrap();
    assert_eq!(stored(&store), numbers);
    check_whole(&store, &numbers);
    settle(&store, &place);

    // Where its owner says the place once more, it is taken as it is.
    fs::rename(&here, &away).unwrap();
    assert!(store.suspect(&chunk(1)).is_err());
    assert_eq!(store.try_place(&place), Ok(()));
    assert_eq!(store.suspect(&chunk(1)), Ok(true));
    while let Scrubbed::On(_) = store.scrub_step(now).unwrap() {}
    save(&store, &numbers);
    check_whole(&store, &numbers);
}
