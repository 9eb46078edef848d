//! How a tree gets its place, or does not: it never stands there without its description, nor the other way around.

use rustix::process::umask;

use super::*;
use crate::transfer::{beneath::Folder, cache::description::Description};

/// Returns the names in one of the cache's folders.
fn names(cache: &Cache, part: &str) -> Vec<String> {
    let folder = Folder::open(&cache.0.shelf.root().join(part)).unwrap();
    let names = folder.names(100).unwrap();
    names
        .into_iter()
        .map(|name| String::from_utf8(name).unwrap())
        .collect()
}

fn assert_nothing_stands(cache: &Cache) {
    for part in ["trees", "manifests", "synced"] {
        assert_eq!(names(cache, part), [""; 0], "{part}");
    }
    assert!(cache.ids().is_empty());
}

#[tokio::test]
async fn a_fetch_that_fails_leaves_no_description() {
    let content = tempfile::tempdir().unwrap();
    sample(content.path());
    let site = Site::new().await;
    let manifest = site.depot.stock(content.path());
    let (_folder, cache) = cache(PLENTY);
    let cutting = Cutting::new(&site);
    cache
        .fetch(&site.connection, manifest.id(), &cutting)
        .await
        .unwrap_err();
    assert_nothing_stands(&cache);
    assert_eq!(names(&cache, "temps"), [manifest.id().to_string()]);
}

#[tokio::test]
async fn a_tree_whose_description_cannot_be_written_does_not_stand_there() {
    let site = Site::new().await;
    let tree = stock(&site.depot, 1, 1000);
    let (_folder, cache) = cache(PLENTY);
    let manifest = site.depot.manifest(tree);
    let (_reserved, layout) = prepare(&cache, &manifest).await;
    fs::write(layout.path().join("data"), noise(1, 1000)).unwrap();
    let nowhere = cache.0.shelf.root().join("temps/missing/description");
    let description = Description::new(manifest, nowhere);
    cache.0.arrive(&description, &layout, &[]).unwrap_err();
    assert_nothing_stands(&cache);
}

#[tokio::test]
async fn a_crash_before_a_tree_has_its_name_leaves_what_came_and_no_description() {
    let (depot, manifest, folder, cache) = broken_off().await;
    drop(cache);
    // One on its way, and one that was placed a moment before its tree would have been.
    let root = folder.path().join("cache");
    fs::write(root.join("temps/description-7"), "half of i").unwrap();
    let placed = root.join("manifests").join(manifest.id().to_string());
    fs::write(placed, manifest.encode().unwrap()).unwrap();
    let cache = Cache::open(&root, PLENTY).unwrap();
    assert_nothing_stands(&cache);
    assert_eq!(names(&cache, "temps"), [manifest.id().to_string()]);

    depot.moved.store(0, Ordering::SeqCst);
    let site = Site::with(Arc::clone(&depot)).await;
    let fetched = cache.fetch(&site.connection, manifest.id(), &()).await;
    assert_eq!(tree_of(fetched.unwrap().path()), *manifest.tree());
    assert!(depot.moved.load(Ordering::SeqCst) < manifest.chunks().len());
    for part in ["trees", "manifests"] {
        assert_eq!(names(&cache, part), [manifest.id().to_string()], "{part}");
    }
}

/// Some files are made with the mode that they keep, of which the process's mask takes something away.
#[tokio::test]
async fn what_arrived_is_readable_to_all_whatever_the_mask() {
    let content = tempfile::tempdir().unwrap();
    sample(content.path());
    let large = content.path().join("large.sh");
    fs::write(&large, noise(2, 3 << 20)).unwrap();
    fs::set_permissions(&large, Permissions::from_mode(0o700)).unwrap();
    let site = Site::new().await;
    let manifest = site.depot.stock(content.path());
    let (_folder, cache) = cache(PLENTY);
    let old = umask(rustix::fs::Mode::from_raw_mode(0o077));
    let fetched = cache.fetch(&site.connection, manifest.id(), &()).await;
    umask(old);
    let fetched = fetched.unwrap();
    let mode = |path: &str| fs::metadata(fetched.path().join(path)).unwrap().mode() & 0o7777;
    for folder in ["", "data", "an", "an/empty/folder", ".hidden"] {
        assert_eq!(mode(folder), 0o555, "{folder}");
    }
    for file in ["empty file", "data/large.bin", "data/näme", ".hidden/x"] {
        assert_eq!(mode(file), 0o444, "{file}");
    }
    for executable in ["run.sh", "large.sh"] {
        assert_eq!(mode(executable), 0o555, "{executable}");
    }
}
