use common::tree::{Entry, EntryKind, LinkTarget, Tree, TreePath, chunk_id};
use link::trees::Manifest;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::*;

fn file(path: &[u8], chunks: &[(u8, u32)]) -> Entry {
    let chunk = |&(seed, bytes): &(u8, u32)| ChunkRef {
        id: chunk_id(&[seed]),
        bytes,
    };
    Entry {
        path: TreePath::new(path).unwrap(),
        kind: EntryKind::File {
            executable: path.ends_with(b"x"),
            chunks: chunks.iter().map(chunk).collect(),
        },
    }
}

fn link(path: &[u8], target: &[u8]) -> Entry {
    Entry {
        path: TreePath::new(path).unwrap(),
        kind: EntryKind::Symlink {
            target: LinkTarget::new(target),
        },
    }
}

fn index(entries: Vec<Entry>) -> (Manifest, Index) {
    let manifest = Manifest::new(Tree::new(entries).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    write(manifest.tree(), manifest.chunks(), &path).unwrap();
    (manifest, Index::open(File::open(path).unwrap()).unwrap())
}

/// Walks to a path from the outermost folder.
fn find(index: &Index, path: &[u8]) -> Option<(u32, Node)> {
    let mut at = (ROOT, index.node(ROOT).unwrap());
    for name in path.split(|&byte| byte == b'/') {
        at = index.lookup(&at.1, name).unwrap()?;
    }
    Some(at)
}

#[test]
fn everything_is_found_where_it_stands() {
    let entries = vec![
        file(b"a", &[(1, 10), (2, 20), (1, 10)]),
        file(b"a-b/deep/x", &[(3, 5)]),
        file(b"b/\xff\xfe", &[]),
        link(b"b/link", b"../a"),
        Entry {
            path: TreePath::new(*b"b").unwrap(),
            kind: EntryKind::Directory,
        },
    ];
    let (_, index) = index(entries);
    assert_eq!((index.nodes(), index.chunks(), index.kept()), (8, 3, 35));
    let (_, root) = (ROOT, index.node(ROOT).unwrap());
    let names: Vec<Vec<u8>> = index
        .nodes_at(root.children())
        .unwrap()
        .iter()
        .map(|node| index.name(node).unwrap())
        .collect();
    assert_eq!(names, [b"a".to_vec(), b"a-b".to_vec(), b"b".to_vec()]);
    assert_eq!(root.size, 2, "two folders in it");
    let (number, a) = find(&index, b"a").unwrap();
    assert_eq!((number, a.size, a.parent), (1, 40, ROOT));
    let (_, x) = find(&index, b"a-b/deep/x").unwrap();
    assert_eq!(x.kind, Kind::File { executable: true });
    assert_eq!(find(&index, b"b/\xff\xfe").unwrap().1.size, 0);
    let (_, link) = find(&index, b"b/link").unwrap();
    assert_eq!(index.target(&link).unwrap(), b"../a");
    assert!(find(&index, b"b/nothing").is_none() && find(&index, b"a/b").is_none());
    // A part of a file names its chunks, in order, with where they begin.
    let places = |part| -> Vec<(u64, u32)> {
        let places = index.places(&a, part).unwrap();
        places
            .iter()
            .map(|place| (place.start, place.chunk.ordinal))
            .collect()
    };
    assert_eq!(places(0..40), [(0, 0), (10, 1), (30, 0)]);
    assert_eq!(places(9..11), [(0, 0), (10, 1)]);
    assert_eq!(places(10..11), [(10, 1)]);
    assert_eq!(places(39..90), [(30, 0)]);
    assert_eq!(places(40..90), []);
}

#[test]
fn a_damaged_index_is_an_error_and_no_more() {
    let (_, good) = index(vec![file(b"a/x", &[(1, 10)]), link(b"l", b"a")]);
    let mut bytes = vec![0; usize::try_from(good.file.metadata().unwrap().len()).unwrap()];
    good.file.read_exact_at(&mut bytes, 0).unwrap();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0xff;
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&damaged, 0).unwrap();
        let Ok(index) = Index::open(file) else {
            continue;
        };
        for number in 0..index.nodes() {
            let Ok(node) = index.node(number) else {
                continue;
            };
            let _ = (
                index.name(&node),
                index.target(&node),
                index.lookup(&node, b"x"),
            );
            let _ = (index.places(&node, 0..100), index.nodes_at(node.children()));
        }
        let _ = index.chunks_in(0..100);
    }
    assert!(Index::open(tempfile::tempfile().unwrap()).is_err());
}

proptest! {
    #[test]
    fn parts_of_files_and_of_what_is_kept_are_covered(
        sizes in proptest::collection::vec((any::<u8>(), 1_u32..5000), 1..200),
        from in 0_u64..200_000,
        length in 1_u64..50_000,
    ) {
        // One chunk has one size.
        let mut of = std::collections::HashMap::new();
        let chunks: Vec<(u8, u32)> = sizes
            .iter()
            .map(|&(seed, size)| (seed, *of.entry(seed).or_insert(size)))
            .collect();
        let (manifest, index) = index(vec![file(b"f", &chunks)]);
        let (_, node) = find(&index, b"f").unwrap();
        let part = from.min(node.size)..(from + length).min(node.size);
        let places = index.places(&node, part.clone()).unwrap();
        let mut at = part.start;
        for place in &places {
            prop_assert!(place.start <= at);
            prop_assert_eq!(place.chunk.chunk, manifest.chunks()[place.chunk.ordinal as usize]);
            at = place.start + u64::from(place.chunk.chunk.bytes);
        }
        prop_assert!(at >= part.end || part.is_empty());
        prop_assert_eq!(places.is_empty(), part.is_empty());
        let kept = from.min(index.kept())..(from + length).min(index.kept());
        let within = index.chunks_in(kept.clone()).unwrap();
        let mut at = 0;
        for (ordinal, chunk) in (0..).zip(manifest.chunks()) {
            let end = at + u64::from(chunk.bytes);
            let touches = at < kept.end && end > kept.start;
            prop_assert_eq!(within.contains(&ordinal), touches, "{} of {:?}", ordinal, within);
            at = end;
        }
    }
}
