//! The id of a tree.

use super::{Entry, EntryKind};
use crate::id::TreeId;

/// What is hashed at once: long enough that the hash goes over it in many lanes.
const PIECE_BYTES: usize = 64 << 10;

/// Returns the digest of everything that entries say: every text with its length before it, every number in
/// little-endian order, so that no two different trees are written alike.
pub(super) fn of(entries: &[Entry]) -> TreeId {
    let mut digest = Digest {
        hasher: blake3::Hasher::new_derive_key("compute-share tree v1"),
        piece: Vec::with_capacity(PIECE_BYTES),
    };
    for entry in entries {
        digest.text(entry.path.as_bytes());
        match &entry.kind {
            EntryKind::Directory => digest.write(b"d"),
            EntryKind::File { executable, chunks } => {
                digest.write(if *executable { b"x" } else { b"f" });
                digest.write(&(chunks.len() as u64).to_le_bytes());
                for chunk in chunks {
                    digest.write(chunk.id.as_bytes());
                    digest.write(&chunk.bytes.to_le_bytes());
                }
            }
            EntryKind::Symlink { target } => {
                digest.write(b"l");
                digest.text(target.as_bytes());
            }
        }
    }
    digest.hasher.update(&digest.piece);
    TreeId::new(*digest.hasher.finalize().as_bytes())
}

struct Digest {
    hasher: blake3::Hasher,
    /// What was not hashed yet.
    piece: Vec<u8>,
}

impl Digest {
    fn text(&mut self, text: &[u8]) {
        self.write(&(text.len() as u64).to_le_bytes());
        self.write(text);
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.piece.len() + bytes.len() > PIECE_BYTES {
            self.hasher.update(&self.piece);
            self.piece.clear();
        }
        self.piece.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tree::{ChunkRef, LinkTarget, chunk_id};

    fn entry(path: &str, kind: EntryKind) -> Entry {
        let path = path.parse().unwrap();
        Entry { path, kind }
    }

    fn file(executable: bool, chunks: &[u32]) -> EntryKind {
        let chunk = |bytes: &u32| ChunkRef {
            id: chunk_id(&bytes.to_le_bytes()),
            bytes: *bytes,
        };
        let chunks = chunks.iter().map(chunk).collect();
        EntryKind::File { executable, chunks }
    }

    fn link(target: &str) -> EntryKind {
        let target = LinkTarget::new(target.as_bytes().to_vec());
        EntryKind::Symlink { target }
    }

    /// The same, hashed number by number.
    fn plainly(entries: &[Entry]) -> TreeId {
        let mut hasher = blake3::Hasher::new_derive_key("compute-share tree v1");
        let text = |hasher: &mut blake3::Hasher, text: &[u8]| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text);
        };
        for entry in entries {
            text(&mut hasher, entry.path.as_bytes());
            match &entry.kind {
                EntryKind::Directory => drop(hasher.update(b"d")),
                EntryKind::File { executable, chunks } => {
                    hasher.update(if *executable { b"x" } else { b"f" });
                    hasher.update(&(chunks.len() as u64).to_le_bytes());
                    for chunk in chunks {
                        hasher.update(chunk.id.as_bytes());
                        hasher.update(&chunk.bytes.to_le_bytes());
                    }
                }
                EntryKind::Symlink { target } => {
                    hasher.update(b"l");
                    text(&mut hasher, target.as_bytes());
                }
            }
        }
        TreeId::new(*hasher.finalize().as_bytes())
    }

    #[test]
    fn an_id_stays_what_it_is() {
        let entries = [
            entry("bin", EntryKind::Directory),
            entry("bin/run", file(true, &[7, 8, 7])),
            entry("data", file(false, &[])),
            entry("last", link("bin/run")),
        ];
        let id = "83744da6209d2d8153640edea90c87ffcd0318f0b8f36e6f28ef5914ebeff374";
        assert_eq!(of(&entries).to_string(), id);
        assert_eq!(of(&entries), plainly(&entries));
    }

    proptest! {
        #[test]
        fn pieces_do_not_show(files in prop::collection::vec((any::<bool>(), 0..4_000_u32), 0..6)) {
            let files = files.iter().enumerate().map(|(number, (executable, chunks))| {
                let chunks: Vec<u32> = (1..=*chunks).collect();
                entry(&format!("{number}"), file(*executable, &chunks))
            });
            let entries: Vec<Entry> = files.collect();
            prop_assert_eq!(of(&entries), plainly(&entries));
        }
    }
}
