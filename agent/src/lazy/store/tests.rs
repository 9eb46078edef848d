use std::{ops::Range, os::unix::fs::MetadataExt as _, sync::atomic::AtomicU64};

use common::tree::{ChunkRef, Entry, EntryKind, Tree, TreePath};
use link::trees::Manifest;
use tempfile::TempDir;

use super::*;

const CHUNK: u32 = 256 << 10;

#[derive(Clone)]
struct Limit(Arc<AtomicU64>);

impl Limit {
    fn new(bytes: u64) -> Self {
        Self(Arc::new(AtomicU64::new(bytes)))
    }
}

impl Room for Limit {
    fn lend(&self, _: units::Bytes) -> units::Bytes {
        units::Bytes(self.0.load(Ordering::Relaxed))
    }
}

fn bytes(seed: u32) -> Vec<u8> {
    (0..CHUNK / 4)
        .flat_map(|at| (seed.wrapping_mul(0x9e37) ^ at).to_le_bytes())
        .collect()
}

fn manifest(seeds: Range<u32>) -> Manifest {
    let chunk = |seed| ChunkRef {
        id: chunk_id(&bytes(seed)),
        bytes: CHUNK,
    };
    let file = Entry {
        path: TreePath::new(*b"f").unwrap(),
        kind: EntryKind::File {
            executable: false,
            chunks: seeds.map(chunk).collect(),
        },
    };
    Manifest::new(Tree::new(vec![file]).unwrap()).unwrap()
}

fn store(limit: &Limit) -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("lazy"), limit.clone()).unwrap();
    (folder, store)
}

fn chunk(kept: &Kept, ordinal: u32) -> Chunk {
    kept.index().chunks_of(&[ordinal]).unwrap()[0]
}

fn fill(store: &Store, kept: &Kept, ordinals: Range<u32>) {
    for ordinal in ordinals {
        store.write(kept, &chunk(kept, ordinal), &bytes(ordinal));
    }
}

fn there(store: &Store, kept: &Kept) -> Vec<u32> {
    let all = 0..kept.index().chunks();
    all.filter(|&ordinal| store.read(kept, &chunk(kept, ordinal)).is_some())
        .collect()
}

#[test]
fn what_was_used_longest_ago_goes_and_no_more_is_held_than_may_be() {
    let limit = Limit::new(24 << 20);
    let (_folder, store) = store(&limit);
    let pinned = store.describe(&manifest(0..256)).unwrap();
    let kept = store.kept(pinned.kept.tree()).unwrap();
    fill(&store, &kept, 0..64);
    store.touch(&kept, &[0]);
    fill(&store, &kept, 64..110);
    let there = there(&store, &kept);
    assert!(there.contains(&0), "it was read lately: {there:?}");
    assert!(!there.contains(&20) && there.contains(&109), "{there:?}");
    assert!(store.held().0 <= 24 << 20);
    let on_disk = kept.data.metadata().unwrap().blocks() * 512;
    assert!(on_disk <= 24 << 20, "{on_disk}");
    limit.0.store(0, Ordering::Relaxed);
    store.settle();
    assert_eq!(kept.data.metadata().unwrap().blocks(), 0);
    fill(&store, &kept, 0..1);
    assert!(
        self::there(&store, &kept).is_empty(),
        "there is no room for anything"
    );
    assert!(
        store.pin(kept.tree()).is_some(),
        "who is used is known still"
    );
    drop(pinned);
    store.settle();
    assert!(store.pin(kept.tree()).is_none() && !kept.folder.exists());
    assert_eq!(store.held().0, 0);
}

#[test]
fn a_restart_finds_what_is_there_and_believes_nothing() {
    let limit = Limit::new(1 << 30);
    let (folder, store) = store(&limit);
    let manifest = manifest(0..64);
    let kept = store
        .describe(&manifest)
        .map(|pinned| Arc::clone(&pinned.kept))
        .unwrap();
    fill(&store, &kept, 8..24);
    let held = store.held();
    kept.data
        .write_all_at(&[1], 10 * u64::from(CHUNK) + 5)
        .unwrap();
    drop((store, kept));
    let store = Store::open(&folder.path().join("lazy"), limit).unwrap();
    assert_eq!(store.held(), held);
    let pinned = store.pin(manifest.id()).unwrap();
    let wrong = [10];
    let expect: Vec<u32> = (8..24).filter(|ordinal| !wrong.contains(ordinal)).collect();
    assert_eq!(there(&store, &pinned.kept), expect);
    assert_eq!(pinned.kept.missing(&[7, 8, 10, 11, 9999]), [7, 10]);
    fill(&store, &pinned.kept, 10..11);
    assert_eq!(there(&store, &pinned.kept), (8..24).collect::<Vec<u32>>());
}

#[test]
fn what_is_no_store_is_cleared() {
    let limit = Limit::new(1 << 30);
    let (folder, store) = store(&limit);
    let root = folder.path().join("lazy");
    let manifest = manifest(0..4);
    drop(store.describe(&manifest).unwrap());
    let tree = root.join(manifest.id().to_string());
    fs::create_dir(root.join("0123.draft")).unwrap();
    fs::write(tree.join(INDEX), b"short").unwrap();
    let store = Store::open(&root, limit).unwrap();
    assert!(store.pin(manifest.id()).is_none());
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
}
