//! A tree with its chunks numbered, and its form on disk.
//!
//! On disk: eight bytes that say what it is and in which version, the tree's parts as they go over the wire,
//! and the BLAKE3 of all that.

use std::sync::{Arc, OnceLock, Weak};

use common::{
    id::TreeId,
    tree::{ChunkRef, Entry, EntryKind, InvalidTree, Tree},
    units::Bytes,
    wire::{
        self, DecodeError, EncodeError, Header,
        data::{CHUNKS_PER_PART, ENTRIES_PER_PART, TreePart},
        frame::HEADER_BYTES,
    },
};

/// Most chunks named by a tree, repetitions counted: more than a tebibyte, cut as large folders are.
pub const MAX_TREE_CHUNKS: usize = 6 << 20;
/// Most bytes of all paths and link targets of a tree.
pub const MAX_TEXT_BYTES: usize = 256 << 20;
/// Longest form on disk.
pub const MAX_MANIFEST_BYTES: u64 = 512 << 20;

/// What a manifest's form on disk begins with; the last byte is the version.
const MAGIC: [u8; 8] = *b"CSHTREE\x01";
const CHECKSUM_BYTES: usize = 32;

/// A tree, its id and its chunks by ordinal. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Manifest(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tree: Tree,
    id: TreeId,
    /// Made when somebody asks for it: who sends a tree does not.
    chunks: OnceLock<Vec<ChunkRef>>,
}

/// A manifest for as long as somebody else has it.
#[derive(Debug, Clone)]
pub struct WeakManifest(Weak<Inner>);

impl WeakManifest {
    pub fn upgrade(&self) -> Option<Manifest> {
        self.0.upgrade().map(Manifest)
    }
}

impl Manifest {
    /// Takes a while for a large tree.
    ///
    /// # Errors
    /// The tree is larger than what can travel.
    pub fn new(tree: Tree) -> Result<Self, TooLarge> {
        let mut size = Size::default();
        for entry in tree.entries() {
            size.add(entry)?;
        }
        let (id, chunks) = (tree.id(), OnceLock::new());
        Ok(Self(Arc::new(Inner { tree, id, chunks })))
    }

    pub fn tree(&self) -> &Tree {
        &self.0.tree
    }

    pub fn id(&self) -> TreeId {
        self.0.id
    }

    /// Returns every chunk once; the position is the ordinal. Takes a while the first time.
    pub fn chunks(&self) -> &[ChunkRef] {
        self.0.chunks.get_or_init(|| self.tree().chunks())
    }

    pub fn downgrade(&self) -> WeakManifest {
        WeakManifest(Arc::downgrade(&self.0))
    }

    /// Returns the tree in the parts in which it travels.
    pub(super) fn parts(&self) -> Parts<'_> {
        Parts {
            rest: Some(self.tree().entries()),
            sent: 0,
        }
    }

    /// Returns the form on disk.
    ///
    /// # Errors
    /// A part is longer than a frame; the bounds of this module rule that out.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut bytes = MAGIC.to_vec();
        for part in self.parts() {
            bytes.extend_from_slice(&wire::encode(&part)?);
        }
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        Ok(bytes)
    }

    /// Reads the form on disk.
    ///
    /// # Errors
    /// The bytes are damaged, or of a version that this build does not know.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidManifest> {
        let (body, sum) = bytes
            .split_last_chunk::<CHECKSUM_BYTES>()
            .ok_or(InvalidManifest::Truncated)?;
        let mut rest = body
            .strip_prefix(&MAGIC[..])
            .ok_or(InvalidManifest::Unknown)?;
        if checksum(body) != *sum {
            return Err(InvalidManifest::Checksum);
        }
        let mut gathered = Gathered::default();
        while !gathered.complete {
            let (header, after) = rest
                .split_first_chunk::<HEADER_BYTES>()
                .ok_or(InvalidManifest::Truncated)?;
            let header = Header::parse(*header)?;
            let length = header.expect::<TreePart>()?;
            let (payload, after) = after
                .split_at_checked(length)
                .ok_or(InvalidManifest::Truncated)?;
            gathered.add(wire::decode(&header, payload)?)?;
            rest = after;
        }
        if !rest.is_empty() {
            return Err(InvalidManifest::Truncated);
        }
        gathered.into_manifest()
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    *common::tree::chunk_id(bytes).as_bytes()
}

/// A tree's parts; at least one, the last one marked. A file with more chunks than a part should name goes on in the
/// next: as its first entry, under the same path.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    rest: Option<&'a [Entry]>,
    /// How many chunks of the first of them went before.
    sent: usize,
}

impl Iterator for Parts<'_> {
    type Item = TreePart;

    fn next(&mut self) -> Option<TreePart> {
        let mut rest = self.rest?;
        let mut entries = Vec::with_capacity(rest.len().min(ENTRIES_PER_PART));
        let mut room = CHUNKS_PER_PART;
        while let Some((entry, after)) = rest.split_first() {
            if entries.len() == ENTRIES_PER_PART {
                break;
            }
            let left = chunk_count(entry) - self.sent;
            if left > room {
                if room > 0 {
                    entries.push(piece_of(entry, self.sent, room));
                    self.sent += room;
                }
                break;
            }
            entries.push(piece_of(entry, self.sent, left));
            room -= left;
            (rest, self.sent) = (after, 0);
        }
        self.rest = (!rest.is_empty()).then_some(rest);
        Some(TreePart {
            entries,
            last: rest.is_empty(),
        })
    }
}

/// Returns an entry with some of its chunks.
fn piece_of(entry: &Entry, from: usize, count: usize) -> Entry {
    let kind = match &entry.kind {
        EntryKind::File { executable, chunks } => EntryKind::File {
            executable: *executable,
            chunks: chunks[from..from + count].to_vec(),
        },
        other => other.clone(),
    };
    Entry {
        path: entry.path.clone(),
        kind,
    }
}

fn chunk_count(entry: &Entry) -> usize {
    match &entry.kind {
        EntryKind::File { chunks, .. } => chunks.len(),
        EntryKind::Directory | EntryKind::Symlink { .. } => 0,
    }
}

/// What a description adds up to so far.
#[derive(Debug, Default)]
struct Size {
    entries: usize,
    chunks: usize,
    text: usize,
}

impl Size {
    fn add(&mut self, entry: &Entry) -> Result<(), TooLarge> {
        self.entries += 1;
        self.text += entry.path.as_bytes().len();
        if let EntryKind::Symlink { target } = &entry.kind {
            self.text += target.as_bytes().len();
        }
        self.add_chunks(chunk_count(entry))?;
        if self.entries > common::tree::MAX_ENTRIES {
            Err(TooLarge::Entries)
        } else if self.text > MAX_TEXT_BYTES {
            Err(TooLarge::Text)
        } else {
            Ok(())
        }
    }

    fn add_chunks(&mut self, count: usize) -> Result<(), TooLarge> {
        self.chunks += count;
        if self.chunks > MAX_TREE_CHUNKS {
            return Err(TooLarge::Chunks);
        }
        Ok(())
    }
}

/// The parts of a tree as they come in, bounded before they are kept.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    entries: Vec<Entry>,
    size: Size,
    pub(super) complete: bool,
}

impl Gathered {
    pub(super) fn add(&mut self, part: TreePart) -> Result<(), InvalidManifest> {
        if part.entries.is_empty() && !part.last {
            return Err(InvalidManifest::EmptyPart);
        }
        let mut entries = part.entries.into_iter().peekable();
        if let (Some(last), Some(first)) = (self.entries.last_mut(), entries.peek_mut())
            && last.path == first.path
            && let EntryKind::File { chunks, .. } = &mut last.kind
            && let EntryKind::File { chunks: more, .. } = &mut first.kind
        {
            self.size.add_chunks(more.len())?;
            chunks.append(more);
            entries.next();
        }
        for entry in entries {
            self.size.add(&entry)?;
            self.entries.push(entry);
        }
        self.complete = part.last;
        Ok(())
    }

    pub(super) fn into_manifest(self) -> Result<Manifest, InvalidManifest> {
        Ok(Manifest::new(Tree::new(self.entries)?)?)
    }
}

/// The tree is larger than what can travel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    #[error("it has more than {} entries", common::tree::MAX_ENTRIES)]
    Entries,
    #[error("its files have more than {MAX_TREE_CHUNKS} pieces together")]
    Chunks,
    #[error("its paths are longer than {} together", Bytes(MAX_TEXT_BYTES as u64))]
    Text,
}

/// Why bytes or parts are not a [`Manifest`].
#[derive(Debug, thiserror::Error)]
pub enum InvalidManifest {
    #[error("it is not a tree of a version that this program knows")]
    Unknown,
    #[error("it is cut short or too long")]
    Truncated,
    #[error("its checksum does not match")]
    Checksum,
    #[error("a part of it is empty")]
    EmptyPart,
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Tree(#[from] InvalidTree),
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

#[cfg(test)]
mod tests {
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
            let chunks: usize = part.entries.iter().map(chunk_count).sum();
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
}
