//! Versions that have files and pieces of files in common.

use std::{collections::BTreeSet, os::unix::fs::MetadataExt};

use super::*;
use crate::transfer::tests::tree_of;

/// A folder of a few large files and many small ones; the version decides what is in three of them and in one.
fn version(folder: &Path, number: u64) {
    fs::create_dir_all(folder.join("small")).unwrap();
    fs::write(folder.join("same.bin"), noise(1, 1 << 20)).unwrap();
    for (name, seed) in [("other.bin", 2), ("another.bin", 3), ("third.bin", 4)] {
        let mut other = noise(seed, 2 << 20);
        other[1 << 20..(1 << 20) + 20].copy_from_slice(&noise(100 * seed + number, 20));
        fs::write(folder.join(name), other).unwrap();
    }
    for file in 0..50 {
        let seed = if file == 7 { 1000 + number } else { file };
        fs::write(folder.join(format!("small/{file}")), noise(seed, 3000)).unwrap();
    }
    let mode = if number == 1 { 0o644 } else { 0o755 };
    fs::set_permissions(folder.join("small/8"), Permissions::from_mode(mode)).unwrap();
}

fn stock_version(depot: &Depot, number: u64) -> Manifest {
    let folder = tempfile::tempdir().unwrap();
    version(folder.path(), number);
    depot.stock(folder.path())
}

fn inode(pinned: &Pinned, path: &str) -> u64 {
    fs::metadata(pinned.path().join(path)).unwrap().ino()
}

/// Returns what the trees' files take, each file counted once.
fn on_disk_once(folder: &Path, seen: &mut BTreeSet<u64>) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let about = entry.metadata().unwrap();
        if about.is_dir() {
            bytes += on_disk_once(&entry.path(), seen);
        } else if seen.insert(about.ino()) {
            bytes += about.len();
        }
    }
    bytes
}

/// Asserts that what is counted is what is there, but for the room of entries.
fn assert_counted(cache: &Cache) {
    let trees = cache.0.shelf.root().join("trees");
    let mut seen = BTreeSet::new();
    let there = on_disk_once(&trees, &mut seen);
    let (used, entries) = (cache.used().0, 8192 * (seen.len() as u64 + 10));
    assert!(
        (there..there + entries).contains(&used),
        "{used} are counted for {there}"
    );
}

#[tokio::test]
async fn a_second_version_brings_only_what_is_new_and_shares_the_rest() {
    let site = Site::new().await;
    let (first, second) = (stock_version(&site.depot, 1), stock_version(&site.depot, 2));
    let (folder, cache) = cache(PLENTY);
    let one = cache
        .fetch(&site.connection, first.id(), &())
        .await
        .unwrap();
    let before = cache.used();
    let moved = || site.depot.moved.load(Ordering::SeqCst);
    let whole = moved();
    let two = cache
        .fetch(&site.connection, second.id(), &())
        .await
        .unwrap();
    let came = moved() - whole;
    assert!(came <= 8, "{came} chunks came of {}", second.chunks().len());
    assert_eq!(tree_of(one.path()), *first.tree());
    assert_eq!(tree_of(two.path()), *second.tree());
    for same in ["same.bin", "small/9"] {
        assert_eq!(inode(&one, same), inode(&two, same), "{same}");
    }
    for other in ["other.bin", "small/7", "small/8"] {
        assert_ne!(inode(&one, other), inode(&two, other), "{other}");
    }
    assert_counted(&cache);
    let more = cache.used().0 - before.0;
    assert!(more < (6 << 20) + 80_000, "{more}");

    // What goes first leaves what the other has.
    drop((one, two));
    let used = cache.used();
    drop(cache);
    let cache = Cache::open(&folder.path().join("cache"), PLENTY).unwrap();
    assert_eq!((cache.used(), cache.ids().len()), (used, 2));
    let two = cache.pin(second.id()).unwrap();
    cache.set_limit(Bytes(used.0 - 1));
    assert_eq!(cache.ids(), [second.id()]);
    assert_eq!(tree_of(two.path()), *second.tree());
    assert_counted(&cache);
    let left = cache.used();
    assert!(left.0 > 3 << 20 && left < used);
    drop(two);
    cache.set_limit(Bytes::ZERO);
    assert_eq!(cache.used(), Bytes::ZERO);
}

#[tokio::test]
async fn files_without_content_are_one_with_many_names_and_counted_so() {
    let site = Site::new().await;
    let stocked = |more: bool| {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("deep/er")).unwrap();
        for (name, mode) in [
            ("a", 0o644),
            ("deep/b", 0o755),
            ("deep/er/c", 0o644),
            ("e", 0o755),
            ("f", 0o644),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, b"").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
        if more {
            fs::write(folder.path().join("more"), noise(1, 5000)).unwrap();
        }
        site.depot.stock(folder.path())
    };
    let (first, second) = (stocked(false), stocked(true));
    let (folder, cache) = cache(PLENTY);
    let fetch = async |manifest: &Manifest| {
        let fetched = cache.fetch(&site.connection, manifest.id(), &()).await;
        fetched.unwrap()
    };
    let one = fetch(&first).await;
    assert_eq!(tree_of(one.path()), *first.tree());
    for (file, other) in [("a", "deep/er/c"), ("a", "f"), ("deep/b", "e")] {
        assert_eq!(inode(&one, file), inode(&one, other), "{file} {other}");
    }
    assert_ne!(inode(&one, "a"), inode(&one, "e"));
    let about = fs::metadata(one.path().join("f")).unwrap();
    assert_eq!((about.mode() & 0o777, about.mtime()), (0o444, 946_684_800));
    let two = fetch(&second).await;
    assert_eq!(tree_of(two.path()), *second.tree());
    drop((one, two));
    let used = cache.used();
    drop(cache);
    let cache = Cache::open(&folder.path().join("cache"), PLENTY).unwrap();
    assert_eq!((cache.used(), cache.ids().len()), (used, 2));
    cache.set_limit(Bytes::ZERO);
    assert_eq!(cache.used(), Bytes::ZERO);
}

#[tokio::test]
async fn what_was_altered_lends_nothing() {
    let site = Site::new().await;
    let (first, second) = (stock_version(&site.depot, 1), stock_version(&site.depot, 2));
    let (_folder, cache) = cache(PLENTY);
    let one = cache
        .fetch(&site.connection, first.id(), &())
        .await
        .unwrap();
    for file in ["same.bin", "other.bin", "small/9"] {
        let file = one.path().join(file);
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        let mut bytes = fs::read(&file).unwrap();
        bytes[17] ^= 1;
        fs::write(&file, bytes).unwrap();
    }
    let two = cache
        .fetch(&site.connection, second.id(), &())
        .await
        .unwrap();
    assert_eq!(tree_of(two.path()), *second.tree());
    assert_ne!(inode(&one, "same.bin"), inode(&two, "same.bin"));
    assert_counted(&cache);
}

#[tokio::test]
async fn a_donor_in_the_way_goes_and_all_of_the_tree_comes() {
    let site = Site::new().await;
    let (first, second) = (stock_version(&site.depot, 1), stock_version(&site.depot, 2));
    let whole = shelf::footprint(first.tree());
    let (_folder, cache) = cache(Bytes(whole.0 + 10_000));
    drop(
        cache
            .fetch(&site.connection, first.id(), &())
            .await
            .unwrap(),
    );
    let two = cache
        .fetch(&site.connection, second.id(), &())
        .await
        .unwrap();
    assert_eq!(cache.ids(), [second.id()]);
    assert_eq!(tree_of(two.path()), *second.tree());
    let refused = cache
        .fetch(&site.connection, first.id(), &())
        .await
        .unwrap_err();
    assert_eq!(refused.code, Code::DiskFull);
    assert_eq!(cache.ids(), [second.id()]);
}

#[tokio::test]
async fn a_transfer_that_a_restart_cut_goes_on_and_spares_its_donor() {
    let depot = Arc::new(Depot::unlimited());
    let (first, second) = (stock_version(&depot, 1), stock_version(&depot, 2));
    let (folder, cache) = cache(PLENTY);
    let site = Site::with(Arc::clone(&depot)).await;
    drop(
        cache
            .fetch(&site.connection, first.id(), &())
            .await
            .unwrap(),
    );
    depot.fails_after.store(1, Ordering::SeqCst);
    cache
        .fetch(&site.connection, second.id(), &())
        .await
        .unwrap_err();
    assert_eq!(cache.ids(), [first.id()]);
    let used = cache.used();
    drop(cache);

    let cache = Cache::open(&folder.path().join("cache"), PLENTY).unwrap();
    assert_eq!(cache.ids(), [first.id()]);
    assert!(cache.used() > shelf::footprint(first.tree()) && cache.used() <= used);
    depot.fails_after.store(u64::MAX, Ordering::SeqCst);
    let site = Site::with(Arc::clone(&depot)).await;
    // The donor may go meanwhile; what was linked stays.
    let one = cache
        .fetch(&site.connection, first.id(), &())
        .await
        .unwrap();
    let two = cache
        .fetch(&site.connection, second.id(), &())
        .await
        .unwrap();
    for (pinned, manifest) in [(&one, &first), (&two, &second)] {
        assert_eq!(tree_of(pinned.path()), *manifest.tree());
        assert!(cache.is_usable(pinned).await.unwrap());
    }
    assert_counted(&cache);
}

#[tokio::test]
async fn owners_see_names_sizes_and_shares_also_after_a_restart_and_evict_what_is_idle() {
    let site = Site::new().await;
    let (first, second) = (stock_version(&site.depot, 1), stock_version(&site.depot, 2));
    let (folder, cache) = cache(PLENTY);
    for (manifest, name) in [(&first, "digits@1"), (&second, "digits@2")] {
        drop(
            cache
                .fetch(&site.connection, manifest.id(), &())
                .await
                .unwrap(),
        );
        cache.call(manifest.id(), name);
    }
    drop(cache);
    let cache = Cache::open(&folder.path().join("cache"), PLENTY).unwrap();
    let used = cache.pin(second.id()).unwrap();
    let list = cache.list();
    let names: BTreeSet<&str> = list.iter().map(|listed| listed.name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["digits@1", "digits@2"]));
    assert_eq!(list[0].shared, list[1].shared);
    assert!(list[0].shared > Bytes::mib(1) && list[0].whole);
    assert_eq!(
        list[0].alone.0 + list[1].alone.0 + list[0].shared.0,
        cache.used().0
    );
    let items: Vec<Item> = list.iter().map(|listed| listed.item).collect();
    assert_eq!(cache.evict(&items), [Item::Tree(first.id())]);
    assert_eq!(tree_of(used.path()), *second.tree());
    let names = fs::read_dir(cache.0.shelf.root().join("names")).unwrap();
    assert_eq!(names.count(), 1);
    assert_counted(&cache);
}
