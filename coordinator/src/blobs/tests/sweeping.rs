//! What a sweep takes, and what it leaves to whoever is at it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use super::{
    super::{holds::Holds, serve::Upload},
    *,
};

/// A tree of one file with these chunks.
fn made_of(numbers: &[u32]) -> Manifest {
    let kind = EntryKind::File {
        executable: false,
        chunks: numbers.iter().copied().map(chunk).collect(),
    };
    let path = "data".parse().unwrap();
    Manifest::new(Tree::new(vec![Entry { path, kind }]).unwrap()).unwrap()
}

fn save(store: &Store, manifest: &Manifest) -> TreeId {
    for number in 0..10 {
        if manifest.chunks().contains(&chunk(number)) {
            store.put(&chunk(number), &content(number)).unwrap();
        }
    }
    store.save_tree(manifest).unwrap()
}

/// Returns which of the first ten chunks are stored.
fn stored(store: &Store) -> Vec<u32> {
    (0..10)
        .filter(|number| store.has(&chunk(*number)))
        .collect()
}

/// Returns the files in a part of the store's folder.
fn files(store: &Store, part: &str) -> Vec<String> {
    let entries = fs::read_dir(store.folder(part)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[tokio::test]
async fn a_sweep_takes_what_no_other_tree_has() {
    let (_folder, store) = store();
    let (small, large) = (tree(2), tree(3));
    save(&store, &small);
    save(&store, &large);
    {
        let _unnamed = store.unnamed().await;
        assert_eq!(store.doom(&[large.id()]).unwrap(), []);
        assert_eq!(store.doom(&[large.id()]).unwrap(), []);
    }
    assert!(!store.has_tree(large.id()) && store.has(&chunk(2)));
    store.sweep().unwrap();
    assert_eq!(stored(&store), [0, 1], "the last was the large one's alone");
    assert_eq!(store.load_tree(small.id()).unwrap().id(), small.id());
    assert_eq!(files(&store, "doomed"), [""; 0]);
    store.sweep().unwrap();
}

#[test]
fn what_an_upload_was_told_is_here_stays_until_it_has_ended() {
    let (_folder, store) = store();
    let old = made_of(&[0, 1, 2]);
    save(&store, &old);
    assert_eq!(store.doom(&[old.id()]).unwrap(), []);
    // It found two of its chunks here; a whole sweep passes before it has its name.
    let new = made_of(&[1, 2, 3]);
    let upload = Upload::new(store.clone(), new, drop);
    assert!(upload.has(0, &chunk(1)) && upload.has(1, &chunk(2)) && !upload.has(2, &chunk(3)));
    store.sweep().unwrap();
    assert_eq!(stored(&store), [1, 2]);
    upload.put(2, &chunk(3), &content(3)).unwrap();
    upload.seal().unwrap();
    drop(upload);
    store.sweep().unwrap();
    assert_eq!(stored(&store), [1, 2, 3]);
    assert_eq!(files(&store, "doomed"), [""; 0]);
}

#[test]
fn what_an_upload_held_that_broke_off_goes_with_the_next_sweep() {
    let (_folder, store) = store();
    let (old, other) = (made_of(&[0, 1, 2]), made_of(&[3]));
    save(&store, &old);
    save(&store, &other);
    store.doom(&[old.id(), other.id()]).unwrap();
    let upload = Upload::new(store.clone(), made_of(&[1, 2, 4]), drop::<TreeId>);
    store.sweep().unwrap();
    assert_eq!(stored(&store), [1, 2]);
    assert_eq!(files(&store, "doomed"), [old.id().to_string()]);
    drop(upload);
    store.sweep().unwrap();
    assert_eq!(stored(&store), [0; 0]);
    assert_eq!(files(&store, "doomed"), [""; 0]);
}

#[test]
fn an_upload_that_begins_while_chunks_go_keeps_those_that_are_left() {
    let (_folder, store) = store();
    let mut holds = Holds::default();
    let ids = |numbers: &[u32]| -> HashSet<ChunkId> {
        numbers.iter().map(|number| chunk(*number).id).collect()
    };
    holds.begin(ids(&[0, 1, 2, 3]));
    assert!(holds.strike(&made_of(&[0, 9])));
    *store.holds() = holds;
    let upload = store.hold(&made_of(&[1, 7]));
    let mut going: Vec<_> = store.holds().take(9);
    going.sort_unstable();
    let mut rest: Vec<_> = ids(&[2, 3]).into_iter().collect();
    rest.sort_unstable();
    assert_eq!(going, rest);
    assert_eq!(store.holds().end(), ids(&[1]));
    drop(upload);
    // Nothing to look for: whoever lists trees may stop.
    assert!(!store.holds().strike(&made_of(&[1])));
}

#[test]
fn a_tree_that_arrived_keeps_its_name_until_a_row_has_it() {
    let (_folder, store) = store();
    let manifest = made_of(&[0, 1]);
    save(&store, &manifest);
    let upload = Upload::new(store.clone(), manifest.clone(), drop);
    assert_eq!(store.doom(&[manifest.id()]).unwrap(), [manifest.id()]);
    upload.seal().unwrap();
    drop(upload);
    assert_eq!(store.doom(&[manifest.id()]).unwrap(), [manifest.id()]);
    assert!(store.has_tree(manifest.id()));
    store.release(manifest.id());
    store.release(manifest.id());
    assert_eq!(store.doom(&[manifest.id()]).unwrap(), []);
    assert!(!store.has_tree(manifest.id()));
}

#[test]
fn nobody_holds_a_tree_for_ever() {
    let (_folder, store) = store();
    let manifest = made_of(&[0]);
    store.put(&chunk(0), &content(0)).unwrap();
    let before = Instant::now();
    let upload = Upload::new(store.clone(), manifest.clone(), drop);
    upload.seal().unwrap();
    let mut holds = store.holds();
    let nearly = Duration::from_secs(599);
    assert!(holds.has(manifest.id(), before + nearly));
    assert!(!holds.has(manifest.id(), Instant::now() + Duration::from_secs(600)));
}

#[test]
fn a_damaged_description_stops_nothing_and_is_whole_after_the_next_upload() {
    let (folder, store) = store();
    let (sick, old) = (made_of(&[0, 1]), made_of(&[1, 2]));
    save(&store, &sick);
    save(&store, &old);
    store.doom(&[old.id()]).unwrap();
    fs::write(store.tree_path(sick.id()), b"nonsense").unwrap();
    store.sweep().unwrap();
    assert_eq!(files(&store, "doomed"), [""; 0]);
    assert_eq!(stored(&store), [0]);
    assert_eq!(damaged(folder.path()).unwrap(), [sick.id().to_string()]);
    let refused = store.load_tree(sick.id()).unwrap_err();
    assert_eq!(refused.code, Code::Checksum);

    save(&store, &sick);
    assert_eq!(store.load_tree(sick.id()).unwrap().id(), sick.id());
    assert_eq!(damaged(folder.path()).unwrap(), [""; 0]);
    // One that nothing needs is forgotten.
    fs::rename(store.tree_path(sick.id()), store.damaged_path(sick.id())).unwrap();
    store.doom(&[sick.id()]).unwrap();
    assert_eq!(damaged(folder.path()).unwrap(), [""; 0]);
}

#[test]
fn what_is_deleted_while_somebody_reads_it_is_not_called_damaged() {
    let (_folder, store) = store();
    let manifest = made_of(&[0, 1]);
    let id = save(&store, &manifest);
    assert_eq!(store.read(id, &chunk(0)).unwrap(), content(0));
    fs::remove_file(store.chunk_path(chunk(1).id)).unwrap();
    let damaged = store.read(id, &chunk(1)).unwrap_err();
    assert_eq!(damaged.code, Code::Checksum);
    store.doom(&[id]).unwrap();
    store.sweep().unwrap();
    let gone = store.read(id, &chunk(0)).unwrap_err();
    assert_eq!(
        (gone.code, &*gone.why),
        (Code::NotFound, "it was deleted meanwhile")
    );
}

#[test]
fn what_comes_and_goes_at_once_is_whole_whenever_it_was_said_to_be_here() {
    const TREES: [[u32; 3]; 3] = [[0, 1, 2], [1, 2, 3], [2, 3, 4]];
    let (_folder, store) = store();
    let ids = TREES.map(|numbers| made_of(&numbers).id());
    let uploading = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let sweeper = scope.spawn(|| {
            while uploading.load(Ordering::Relaxed) {
                store.doom(&ids).unwrap();
                store.sweep().unwrap();
            }
        });
        let uploaders = TREES.map(|numbers| {
            let store = &store;
            scope.spawn(move || (0..40).for_each(|_| comes_and_goes(store, &numbers)))
        });
        let ended = uploaders.map(std::thread::ScopedJoinHandle::join);
        uploading.store(false, Ordering::Relaxed);
        sweeper.join().unwrap();
        ended.into_iter().for_each(Result::unwrap);
    });
    assert_eq!(store.doom(&ids).unwrap(), []);
    store.sweep().unwrap();
    assert_eq!(stored(&store), [0; 0]);
}

fn comes_and_goes(store: &Store, numbers: &[u32]) {
    let manifest = made_of(numbers);
    let upload = Upload::new(store.clone(), manifest.clone(), drop);
    for (ordinal, chunk) in (0..).zip(manifest.chunks()) {
        if !upload.has(ordinal, chunk) {
            let bytes = content(numbers[ordinal as usize]);
            upload.put(ordinal, chunk, &bytes).unwrap();
        }
    }
    upload.seal().unwrap();
    drop(upload);
    for chunk in manifest.chunks() {
        store.read(manifest.id(), chunk).unwrap();
    }
    store.release(manifest.id());
}
