mod altered;
mod arriving;
mod figures;
mod lending;
mod sharing;

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    sync::atomic::Ordering,
};

use tempfile::TempDir;

use super::*;
use crate::transfer::tests::{Cutting, Depot, Site, noise, sample, tree_of};

const PLENTY: Bytes = Bytes::gib(1);

/// A tree of one file of this many bytes in the depot.
fn stock(depot: &Depot, seed: u64, bytes: usize) -> TreeId {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("data"), noise(seed, bytes)).unwrap();
    depot.stock(folder.path()).id()
}

fn cache(limit: Bytes) -> (TempDir, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(&folder.path().join("cache"), limit).unwrap();
    (folder, cache)
}

/// Makes everything ready for a tree to come, as a fetch does.
async fn prepare(cache: &Cache, manifest: &Manifest) -> (Pinned, Arc<Layout>) {
    let number = cache.0.next_number.fetch_add(1, Ordering::SeqCst);
    let description = Arc::new(cache.0.shelf.describe(manifest, number));
    cache.prepare(&description).await.unwrap()
}

#[tokio::test]
async fn a_tree_is_fetched_once_sealed_and_readable_by_all() {
    let content = tempfile::tempdir().unwrap();
    sample(content.path());
    let site = Site::new().await;
    let manifest = site.depot.stock(content.path());
    let (_folder, cache) = cache(PLENTY);
    let fetch = || cache.fetch(&site.connection, manifest.id(), &());
    let (one, two, three) = tokio::join!(fetch(), fetch(), fetch());
    let (one, _two, _three) = (one.unwrap(), two.unwrap(), three.unwrap());
    // The depot counts once it has heard that all arrived, which may be a moment later.
    let moved = async {
        while site.depot.moved.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        site.depot.moved.load(Ordering::SeqCst)
    };
    let moved = tokio::time::timeout(std::time::Duration::from_secs(10), moved);
    assert_eq!(moved.await.unwrap(), manifest.chunks().len());
    assert_eq!(cache.ids(), [manifest.id()]);
    assert_eq!(tree_of(one.path()), *manifest.tree());
    let mode = |path: &str| fs::metadata(one.path().join(path)).unwrap().mode() & 0o7777;
    assert_eq!([mode(""), mode("data"), mode("an/empty")], [0o555; 3]);
    assert_eq!([mode("run.sh"), mode("data/large.bin")], [0o555, 0o444]);
    let outer = cache.0.shelf.root();
    assert_eq!(fs::metadata(outer).unwrap().mode() & 0o7777, 0o700);
}

#[tokio::test]
async fn the_longest_unused_makes_room_and_what_is_used_stays() {
    let site = Site::new().await;
    let trees: Vec<TreeId> = (1..=4)
        .map(|seed| stock(&site.depot, seed, 300_000))
        .collect();
    let (_folder, cache) = cache(Bytes(950_000));
    let first = cache.fetch(&site.connection, trees[0], &()).await.unwrap();
    for &tree in &trees[1..3] {
        drop(cache.fetch(&site.connection, tree, &()).await.unwrap());
    }
    // The order of use, whatever the clock's resolution.
    for (at, &tree) in (100..).zip(&[trees[0], trees[2], trees[1]]) {
        let used = Timestamp::from_unix_ms(at);
        cache
            .0
            .state()
            .held
            .get_mut(&Item::Tree(tree))
            .unwrap()
            .last_used = used;
    }
    drop(cache.fetch(&site.connection, trees[3], &()).await.unwrap());
    let mut left = [trees[0], trees[1], trees[3]];
    left.sort();
    assert_eq!(cache.ids(), left);
    assert!(first.path().join("data").exists());
    assert!(cache.used() <= Bytes(950_000));

    cache.set_limit(Bytes(400_000));
    assert_eq!(cache.ids(), [trees[0]]);
    let refused = cache
        .fetch(&site.connection, trees[1], &())
        .await
        .unwrap_err();
    assert_eq!(refused.code, Code::DiskFull);
    assert_eq!(cache.ids(), [trees[0]]);
    drop(first);
    let second = cache.fetch(&site.connection, trees[1], &()).await.unwrap();
    assert_eq!(cache.ids(), [trees[1]]);
    cache.set_limit(Bytes(0));
    assert_eq!(cache.ids(), [trees[1]]);
    drop(second);
    cache.set_limit(Bytes(0));
    assert!(cache.ids().is_empty());
    assert_eq!(cache.used(), Bytes(0));
}

#[tokio::test]
async fn a_restart_keeps_what_is_whole_and_clears_what_is_not() {
    let site = Site::new().await;
    let trees: Vec<TreeId> = (1..=3)
        .map(|seed| stock(&site.depot, seed, 70_000))
        .collect();
    let (folder, cache) = cache(PLENTY);
    for &tree in &trees {
        drop(cache.fetch(&site.connection, tree, &()).await.unwrap());
    }
    let root = folder.path().join("cache");
    drop(cache);
    fs::remove_file(root.join("manifests").join(trees[0].to_string())).unwrap();
    fs::create_dir(root.join("trees/strange")).unwrap();
    fs::create_dir_all(root.join("temps/half/written")).unwrap();
    fs::write(root.join("manifests").join("0".repeat(64)), "x").unwrap();
    let mut whole = [trees[1], trees[2]];
    whole.sort();
    let cache = Cache::open(&root, PLENTY).unwrap();
    assert_eq!(cache.ids(), whole);
    assert!(cache.pin(trees[0]).is_none());
    assert_eq!(cache.pin(trees[1]).unwrap().tree(), trees[1]);
    for part in ["trees", "manifests", "temps"] {
        let count = fs::read_dir(root.join(part)).unwrap().count();
        assert_eq!(count, if part == "temps" { 0 } else { 2 }, "{part}");
    }
    drop(cache);

    // The machine stopped, and one of them had not reached the disk.
    fs::write(root.join("boot"), "another").unwrap();
    fs::remove_file(root.join("synced").join(trees[2].to_string())).unwrap();
    File::create(root.join("synced").join(trees[1].to_string())).unwrap();
    assert_eq!(Cache::open(&root, PLENTY).unwrap().ids(), [trees[1]]);
}

/// A fetch of which a part came before its connection was cut.
async fn broken_off() -> (Arc<Depot>, Manifest, TempDir, Cache) {
    let content = tempfile::tempdir().unwrap();
    sample(content.path());
    let depot = Arc::new(Depot::unlimited());
    let manifest = depot.stock(content.path());
    let (folder, cache) = cache(PLENTY);
    let site = Site::with(Arc::clone(&depot)).await;
    let cutting = Cutting::new(&site);
    cache
        .fetch(&site.connection, manifest.id(), &cutting)
        .await
        .unwrap_err();
    (depot, manifest, folder, cache)
}

#[tokio::test]
async fn a_fetch_that_fails_takes_no_room_and_the_next_goes_on() {
    let (depot, manifest, _folder, cache) = broken_off().await;
    assert!(cache.ids().is_empty());
    // What came of it is on the disk, and goes before anything else.
    assert!(cache.used() > Bytes::ZERO && cache.used() < shelf::footprint(manifest.tree()));
    depot.moved.store(0, Ordering::SeqCst);
    let site = Site::with(Arc::clone(&depot)).await;
    let pinned = cache
        .fetch(&site.connection, manifest.id(), &())
        .await
        .unwrap();
    assert!(depot.moved.load(Ordering::SeqCst) < manifest.chunks().len());
    assert_eq!(tree_of(pinned.path()), *manifest.tree());
    let unknown = cache
        .fetch(&site.connection, TreeId::new([1; 32]), &())
        .await
        .unwrap_err();
    assert_eq!(unknown.code, Code::NotFound);
}

#[tokio::test]
async fn a_copy_is_writable_equal_and_apart() {
    let content = tempfile::tempdir().unwrap();
    sample(content.path());
    let site = Site::new().await;
    let manifest = site.depot.stock(content.path());
    let (folder, cache) = cache(PLENTY);
    let pinned = cache
        .fetch(&site.connection, manifest.id(), &())
        .await
        .unwrap();
    let work = folder.path().join("work");
    let root = rustix::process::geteuid().is_root();
    let owner = root.then_some(Owner {
        uid: 12345,
        gid: 12346,
    });
    copy_into(&pinned, &work, owner, &[]).unwrap();
    assert_eq!(tree_of(&work), *manifest.tree());
    for entry in [
        ".",
        "data",
        "data/large.bin",
        "data/link",
        "run.sh",
        "an/empty/folder",
    ] {
        let metadata = fs::symlink_metadata(work.join(entry)).unwrap();
        let (uid, gid) = (metadata.uid(), metadata.gid());
        let expect = owner.map_or((rustix::process::geteuid().as_raw(), gid), |owner| {
            (owner.uid, owner.gid)
        });
        assert_eq!((uid, gid), expect, "{entry}");
        assert!(metadata.mode() & 0o200 != 0, "{entry}");
    }
    fs::write(work.join("data/large.bin"), "mine").unwrap();
    fs::write(work.join("data/new"), "mine").unwrap();
    assert_eq!(tree_of(pinned.path()), *manifest.tree());
    assert_eq!(
        copy_into(&pinned, &work, owner, &[]).unwrap_err().code,
        Code::Io
    );
}

#[tokio::test]
async fn a_tree_that_came_although_nobody_waited_is_there() {
    let site = Site::new().await;
    let tree = stock(&site.depot, 1, 1000);
    let (_folder, cache) = cache(PLENTY);
    let manifest = site.depot.manifest(tree);
    let (reserved, layout) = prepare(&cache, &manifest).await;
    let path = cache.0.shelf.partial(tree).unwrap();
    fs::write(path.join("data"), noise(1, 1000)).unwrap();
    drop(reserved);
    assert!(cache.ids().is_empty());
    let description = cache.0.shelf.describe(&manifest, 0);
    cache.0.arrive(&description, &layout, &[]).unwrap();
    assert_eq!(cache.ids(), [tree]);
    drop(cache.fetch(&site.connection, tree, &()).await.unwrap());
    assert_eq!(site.depot.moved.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_tree_that_is_gone_is_not_marked_as_safe() {
    let site = Site::new().await;
    let tree = stock(&site.depot, 1, 1000);
    let (_folder, cache) = cache(PLENTY);
    drop(cache.fetch(&site.connection, tree, &()).await.unwrap());
    let arrival = cache.0.state().held[&Item::Tree(tree)].arrival;
    cache.set_limit(Bytes(0));
    cache.0.settle(tree, arrival);
    cache.set_limit(PLENTY);
    let mark = cache.0.shelf.root().join("synced").join(tree.to_string());
    assert!(!mark.exists());
    drop(cache.fetch(&site.connection, tree, &()).await.unwrap());
    let arrival = cache.0.state().held[&Item::Tree(tree)].arrival;
    cache.0.settle(tree, arrival);
    assert!(mark.exists());
}
