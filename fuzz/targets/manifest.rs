//! A tree's form on disk: as a stranger wrote it, with its checksum made to match; and as it is written here, with a byte
//! of it changed. What can be read is a tree with the id that it says, and comes back from what is written.

#![no_main]

mod memory;

use common::tree::{ChunkRef, Entry, EntryKind, Tree, TreePath, chunk_id};
use libfuzzer_sys::fuzz_target;
use link::trees::Manifest;

const MAGIC: &[u8] = b"CSHTREE\x01";
const SUM_BYTES: usize = 32;

fuzz_target!(|bytes: &[u8]| {
    let _cut = read(bytes);
    let _hostile = read(&summed([MAGIC, bytes].concat()));
    changed(bytes);
});

/// Reads a form within bounded memory, and holds what it says against what is written of it.
fn read(form: &[u8]) -> Option<Manifest> {
    // An entry of four bytes becomes one of sixty; a length that lies buys a mebibyte in each of two lists.
    let most = (4 << 20) + 128 * form.len();
    let manifest = memory::within(most, || Manifest::decode(form)).ok()?;
    let entries = manifest.tree().entries();
    let tree = Tree::new(entries.to_vec()).expect("what was read is a tree");
    assert_eq!(tree.id(), manifest.id());
    for pair in entries.windows(2) {
        assert!(pair[0].path < pair[1].path);
    }
    let written = manifest.encode().expect("what was read can be written");
    let again = Manifest::decode(&written).expect("what was written can be read");
    assert_eq!(again.id(), manifest.id());
    assert_eq!(again.tree(), manifest.tree());
    assert_eq!(again.chunks(), manifest.chunks());
    assert_eq!(again.encode().expect("as before"), written);
    Some(manifest)
}

/// Writes a tree that these bytes make up, changes a byte of it, and reads that.
fn changed(bytes: &[u8]) {
    let Some((at, bytes)) = bytes.split_first_chunk::<3>() else {
        return;
    };
    let Some(entries) = bytes.chunks(8).map(entry).collect::<Option<Vec<_>>>() else {
        return;
    };
    let Ok(manifest) = Tree::new(entries).map(|tree| Manifest::new(tree).expect("it is small"))
    else {
        return;
    };
    let mut form = manifest.encode().expect("it is small");
    assert_eq!(
        read(&form).expect("it was written here").id(),
        manifest.id()
    );
    let place = MAGIC.len() + usize::from(u16::from_le_bytes([at[0], at[1]]));
    form.truncate(form.len() - SUM_BYTES);
    let Some(byte) = form.get_mut(place).filter(|_| at[2] != 0) else {
        return;
    };
    *byte ^= at[2];
    if let Some(other) = read(&summed(form)) {
        // A byte that says nothing may change: then it is the same tree.
        assert_eq!(other.id() == manifest.id(), other.tree() == manifest.tree());
    }
}

/// A thing of a folder: its kind and executability, how deep, its name, its chunks.
fn entry(bytes: &[u8]) -> Option<Entry> {
    let [kind, depth, name, chunks @ ..] = bytes else {
        return None;
    };
    let path = vec![vec![*name]; usize::from(*depth % 4) + 1].join(&b'/');
    let path = TreePath::new(path).ok()?;
    let kind = match kind % 4 {
        0 => EntryKind::Directory,
        1 => EntryKind::Symlink {
            target: common::tree::LinkTarget::new(chunks),
        },
        executable => EntryKind::File {
            executable: executable == 2,
            chunks: chunks
                .iter()
                .map(|size| ChunkRef {
                    id: chunk_id(&[*size]),
                    bytes: 1 + u32::from(*size) * 4099,
                })
                .collect(),
        },
    };
    Some(Entry { path, kind })
}

fn summed(mut form: Vec<u8>) -> Vec<u8> {
    let sum = chunk_id(&form);
    form.extend_from_slice(sum.as_bytes());
    form
}
