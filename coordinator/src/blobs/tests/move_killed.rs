//! A store in a bucket, and its moves, are killed before each step in turn: nothing is lost on either side.

use std::{env, os::unix::process::ExitStatusExt as _};

use super::{
    bucket::Bucket,
    killed::{FOLDER, KILL_AT, kill_before, live_again},
    moves::settle,
    *,
};

const PLACE: &str = "COMPUTE_SHARE_TEST_PLACE";
const NAME: &str =
    "blobs::tests::move_killed::nothing_is_lost_wherever_a_process_with_a_bucket_is_killed";

const FIRST: std::ops::Range<u32> = 0..15;
const SECOND: std::ops::Range<u32> = 10..22;

#[test]
fn nothing_is_lost_wherever_a_process_with_a_bucket_is_killed() {
    if let Ok(at) = env::var(KILL_AT) {
        let place = env::var(PLACE).unwrap().parse().unwrap();
        let folder = env::var(FOLDER).unwrap();
        return live_and_die(Path::new(&folder), &place, at.parse().unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    let begun = folder.path().join("begun");
    save(&store_at(&begun, BEGINNING), &FIRST.collect::<Vec<_>>());
    let bucket = Bucket::start();
    let mut kills = 0;
    for at in 0.. {
        let copy = folder.path().join("copy");
        copy_folder(&begun, &copy);
        let prefix = format!("at-{at}");
        let place = place_in(&bucket, &prefix);
        let (status, said) = live_again(NAME, &copy, at, &[(PLACE, place.to_string())]);
        look(&copy, &place, &said);
        assert_eq!(
            bucket.objects(format!("{prefix}/{ORG}")),
            [""; 0],
            "at step {at}"
        );
        fs::remove_dir_all(&copy).unwrap();
        if status.success() {
            break;
        }
        assert_eq!(status.signal(), Some(9), "at step {at}: {status}");
        kills += 1;
    }
    println!("killed before {kills} steps");
    assert!(kills > 40, "{kills}");
}

/// Moves to the bucket, uploads and clears up there, and moves back; says what is done.
fn live_and_die(folder: &Path, place: &StoragePlace, at: u32) {
    let say = |what: &str| {
        let path = folder.join("said");
        let said = fs::read_to_string(&path).unwrap_or_default();
        fs::write(path, format!("{said}{what}\n")).unwrap();
    };
    kill_before(at);
    let store = store_at(folder, BEGINNING);
    settle(&store, place);
    say("there");
    save(&store, &SECOND.collect::<Vec<_>>());
    say("second");
    store
        .doom(&[made_of(&FIRST.collect::<Vec<_>>()).id()])
        .unwrap();
    store.collect().unwrap();
    say("collected");
    settle(&store, &StoragePlace::Local);
    say("back");
    kill_before(u32::MAX);
    std::process::exit(0);
}

/// Opens the store of a process that was killed, and goes on where it was: there, then back.
fn look(folder: &Path, place: &StoragePlace, said: &str) {
    let [first, second] = [FIRST, SECOND].map(|range| range.collect::<Vec<_>>());
    let said: Vec<&str> = said.lines().collect();
    let mut trees = Vec::new();
    let store = store_at(folder, BEGINNING);
    for (numbers, name) in [(&first, "first"), (&second, "second")] {
        if store.has_tree(made_of(numbers).id()).unwrap() {
            check_whole(&store, numbers);
            trees.push(numbers);
        } else {
            assert!(!said.contains(&name));
        }
    }
    assert!(said.contains(&"second") || trees.contains(&&first) || !trees.is_empty());
    let check = |store: &Store| trees.iter().for_each(|numbers| check_whole(store, numbers));
    if !said.contains(&"back") {
        settle(&store, place);
        check(&store);
        assert_eq!(files(folder, "packs"), [""; 0]);
    }
    drop(store);
    // A day later nothing is there but what trees have.
    let store = store_at(folder, BEGINNING + 2 * DAY);
    store.collect().unwrap();
    check(&store);
    let mut live: Vec<u32> = trees.iter().copied().flatten().copied().collect();
    live.sort_unstable();
    live.dedup();
    assert_eq!(stored(&store), live);
    settle(&store, &StoragePlace::Local);
    check(&store);
    drop(store);
    assert_eq!(super::check(folder).unwrap(), Unsound::default());
    check(&store_at(folder, BEGINNING));
}
