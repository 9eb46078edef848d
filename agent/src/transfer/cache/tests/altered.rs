use std::time::{Duration, Instant};

use super::*;

#[tokio::test]
async fn an_altered_tree_is_fetched_again() {
    let site = Site::new().await;
    let tree = stock(&site.depot, 1, 100_000);
    let (_folder, cache) = cache(PLENTY);
    let pinned = cache.fetch(&site.connection, tree, &()).await.unwrap();
    let data = pinned.path().join("data");
    // Root, or the owner of the machine, can do that.
    fs::set_permissions(&data, Permissions::from_mode(0o644)).unwrap();
    fs::write(&data, noise(9, 100_000)).unwrap();
    let in_use = cache.fetch(&site.connection, tree, &()).await.unwrap_err();
    assert_eq!(in_use.code, Code::Checksum);
    drop(pinned);
    let pinned = cache.fetch(&site.connection, tree, &()).await.unwrap();
    assert_eq!(
        fs::read(pinned.path().join("data")).unwrap(),
        noise(1, 100_000)
    );
}

/// Fetches a tree of so many files that it is not looked at before each use, and alters one of them.
async fn large_and_altered(site: &Site, cache: &Cache) -> TreeId {
    let content = tempfile::tempdir().unwrap();
    for number in 0..2000 {
        fs::write(
            content.path().join(format!("file {number}")),
            noise(number, 10),
        )
        .unwrap();
    }
    let tree = site.depot.stock(content.path()).id();
    let pinned = cache.fetch(&site.connection, tree, &()).await.unwrap();
    alter(&pinned.path().join("file 7"));
    tree
}

/// Root, or the owner of the machine, can do that.
fn alter(file: &Path) {
    fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
    fs::write(file, "other").unwrap();
}

/// Makes the last look at the tree one of so long ago.
fn age(cache: &Cache, tree: TreeId, seconds: u64) {
    let ago = Instant::now().checked_sub(Duration::from_secs(seconds));
    let mut state = cache.0.state();
    state.held.get_mut(&Item::Tree(tree)).unwrap().checked_at = Some(ago.unwrap());
}

#[tokio::test]
async fn a_large_tree_is_looked_at_again_beside_its_use_and_after_long_before_it() {
    let site = Site::new().await;
    let (_folder, cache) = cache(PLENTY);
    let tree = large_and_altered(&site, &cache).await;
    let fetched = async || {
        let pinned = cache.fetch(&site.connection, tree, &()).await.unwrap();
        fs::read(pinned.path().join("file 7")).unwrap()
    };
    assert_eq!(fetched().await, b"other", "it was looked at a moment ago");
    age(&cache, tree, 3700);
    assert_eq!(fetched().await, noise(7, 10));

    alter(&cache.pin(tree).unwrap().path().join("file 7"));
    age(&cache, tree, 100);
    assert_eq!(fetched().await, b"other", "it is looked at beside this use");
    let noticed = async {
        while !cache.ids().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), noticed)
        .await
        .unwrap();
    assert_eq!(fetched().await, noise(7, 10));
}

#[tokio::test]
async fn what_was_altered_while_the_agent_was_away_is_seen_when_it_starts() {
    let site = Site::new().await;
    let (folder, cache) = cache(PLENTY);
    let tree = large_and_altered(&site, &cache).await;
    drop(cache);
    let cache = Cache::open(&folder.path().join("cache"), PLENTY).unwrap();
    assert_eq!(cache.used(), Bytes(0));
    let pinned = cache.fetch(&site.connection, tree, &()).await.unwrap();
    assert_eq!(
        fs::read(pinned.path().join("file 7")).unwrap(),
        noise(7, 10)
    );
}
