//! A tree with its chunks numbered, and its form on disk.
//!
//! On disk: eight bytes that say what it is and in which version, the tree's parts as they go over the wire,
//! and the BLAKE3 of all that.

use std::sync::Arc;

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

/// Most chunks named by a tree, repetitions counted: about a tebibyte of usual data.
pub const MAX_TREE_CHUNKS: usize = 4 << 20;
/// Most chunks of one file, so that a file fits in one part: about fifty gibibytes of usual data.
pub const MAX_FILE_CHUNKS: usize = 200_000;
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
    chunks: Vec<ChunkRef>,
}

impl Manifest {
    /// Numbers the chunks of `tree`. Takes a while for a large tree.
    ///
    /// # Errors
    /// The tree is larger than what can travel.
    pub fn new(tree: Tree) -> Result<Self, TooLarge> {
        let mut size = Size::default();
        for entry in tree.entries() {
            size.add(entry)?;
        }
        let (id, chunks) = (tree.id(), tree.chunks());
        Ok(Self(Arc::new(Inner { tree, id, chunks })))
    }

    pub fn tree(&self) -> &Tree {
        &self.0.tree
    }

    pub fn id(&self) -> TreeId {
        self.0.id
    }

    /// Returns every chunk once; the position is the ordinal.
    pub fn chunks(&self) -> &[ChunkRef] {
        &self.0.chunks
    }

    /// Returns the tree in the parts in which it travels.
    pub(super) fn parts(&self) -> Parts<'_> {
        Parts {
            rest: Some(self.tree().entries()),
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

/// A tree's parts; at least one, the last one marked.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    rest: Option<&'a [Entry]>,
}

impl Iterator for Parts<'_> {
    type Item = TreePart;

    fn next(&mut self) -> Option<TreePart> {
        let rest = self.rest?;
        let mut chunks = 0;
        let fits = |entry: &&Entry| {
            chunks += chunk_count(entry);
            chunks <= CHUNKS_PER_PART
        };
        let count = rest.iter().take(ENTRIES_PER_PART).take_while(fits).count();
        // A file with more chunks than a part should name travels alone.
        let (entries, after) = rest.split_at(count.max(1).min(rest.len()));
        self.rest = (!after.is_empty()).then_some(after);
        Some(TreePart {
            entries: entries.to_vec(),
            last: after.is_empty(),
        })
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
        let count = chunk_count(entry);
        if count > MAX_FILE_CHUNKS {
            return Err(TooLarge::File(entry.path.as_str().to_owned()));
        }
        self.entries += 1;
        self.chunks += count;
        self.text += entry.path.as_str().len();
        if let EntryKind::Symlink { target } = &entry.kind {
            self.text += target.len();
        }
        if self.entries > common::tree::MAX_ENTRIES {
            Err(TooLarge::Entries)
        } else if self.chunks > MAX_TREE_CHUNKS {
            Err(TooLarge::Chunks)
        } else if self.text > MAX_TEXT_BYTES {
            Err(TooLarge::Text)
        } else {
            Ok(())
        }
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
        for entry in &part.entries {
            self.size.add(entry)?;
        }
        self.entries.extend(part.entries);
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
    #[error("the file {0:?} has more than {MAX_FILE_CHUNKS} pieces (about 50 GiB)")]
    File(String),
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
            assert!(chunks <= CHUNKS_PER_PART || part.entries.len() == 1);
            wire::encode(part).unwrap();
        }
        assert_eq!(parts.iter().filter(|part| part.last).count(), 1);
        let back: Vec<Entry> = parts.into_iter().flat_map(|part| part.entries).collect();
        assert_eq!(back, whole.tree().entries());
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
    fn what_cannot_travel_is_refused_by_name() {
        let tree = Tree::new(vec![file(
            "huge",
            u32::try_from(MAX_FILE_CHUNKS).unwrap() + 1,
        )]);
        assert_eq!(
            Manifest::new(tree.unwrap()).unwrap_err(),
            TooLarge::File("huge".to_owned())
        );
        let most = manifest(vec![file("huge", u32::try_from(MAX_FILE_CHUNKS).unwrap())]);
        most.encode().unwrap();
        let mut gathered = Gathered::default();
        let endless = TreePart {
            entries: vec![],
            last: false,
        };
        assert!(gathered.add(endless).is_err());
    }
}
