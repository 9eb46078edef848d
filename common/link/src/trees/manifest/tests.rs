use common::{
    tree::{Entry, EntryKind},
    wire::data::{CHUNKS_PER_PART, ENTRIES_PER_PART},
};

use super::*;

fn file(path: &str, chunks: u32) -> Entry {
    let chunk = |i: u32| ChunkRef {
        id: common::tree::chunk_id(&i.to_le_bytes()),
        bytes: 4,
    };
    let chunks = (0..chunks).map(chunk).collect();
    let kind = EntryKind::File {
        executable: false,
        chunks,
    };
    Entry {
        path: path.parse().unwrap(),
        kind,
    }
}

fn manifest(entries: Vec<Entry>) -> Manifest {
    Manifest::new(Tree::new(entries).unwrap()).unwrap()
}

#[test]
fn parts_are_bounded_and_complete() {
    let mut entries: Vec<Entry> = (0..3000).map(|i| file(&format!("f{i:05}"), 1)).collect();
    entries.push(file("big", 70_000));
    entries.push(file("big2", 40_000));
    entries.push(file("big3", 40_000));
    let whole = manifest(entries);
    let parts: Vec<TreePart> = whole.parts().collect();
    for part in &parts {
        let chunks: usize = part
            .entries
            .iter()
            .map(|entry| entry.kind.chunks().len())
            .sum();
        assert!(part.entries.len() <= ENTRIES_PER_PART);
        assert!(chunks <= CHUNKS_PER_PART);
        wire::encode(part).unwrap();
    }
    assert_eq!(parts.iter().filter(|part| part.last).count(), 1);
    assert!(parts.len() >= 5);
    let mut gathered = Gathered::default();
    for part in parts {
        gathered.add(part).unwrap();
    }
    assert_eq!(gathered.into_manifest().unwrap().id(), whole.id());
    let empty: Vec<TreePart> = Manifest::new(Tree::default()).unwrap().parts().collect();
    assert_eq!(
        empty,
        [TreePart {
            entries: vec![],
            last: true
        }]
    );
}

#[test]
fn the_form_on_disk_comes_back_and_any_damage_is_seen() {
    let whole = manifest(vec![file("a", 3), file("b", 0)]);
    let bytes = whole.encode().unwrap();
    assert_eq!(Manifest::decode(&bytes).unwrap().id(), whole.id());
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert!(Manifest::decode(&damaged).is_err(), "byte {at}");
        assert!(Manifest::decode(&bytes[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn what_cannot_travel_is_refused() {
    let mut gathered = Gathered::default();
    let endless = TreePart {
        entries: vec![],
        last: false,
    };
    assert!(gathered.add(endless).is_err());
    let mut size = Size::default();
    size.add_chunks(MAX_TREE_CHUNKS).unwrap();
    assert_eq!(size.add(&file("one", 1)), Err(TooLarge::Chunks));
    let mut size = Size::default();
    for _ in 0..common::tree::MAX_ENTRIES {
        size.add(&file("x", 0)).unwrap();
    }
    assert_eq!(size.add(&file("x", 0)), Err(TooLarge::Entries));
    let mut size = Size {
        text: MAX_TEXT_BYTES,
        ..Size::default()
    };
    assert_eq!(size.add(&file("x", 0)), Err(TooLarge::Text));
}

#[test]
fn only_a_file_goes_on_in_the_next_part() {
    let part = |entry: Entry, last| TreePart {
        entries: vec![entry],
        last,
    };
    let folder = || Entry {
        path: "a".parse().unwrap(),
        kind: EntryKind::Directory,
    };
    for (first, second) in [(folder(), file("a", 1)), (folder(), folder())] {
        let mut gathered = Gathered::default();
        gathered.add(part(first, false)).unwrap();
        gathered.add(part(second, true)).unwrap();
        assert!(gathered.into_manifest().is_err());
    }
}

proptest::proptest! {
    #[test]
    fn hostile_forms_are_an_error_or_a_manifest(bytes: Vec<u8>) {
        let mut form = MAGIC.to_vec();
        form.extend(bytes);
        let sum = checksum(&form);
        form.extend(sum);
        let _any = Manifest::decode(&form);
    }
}
