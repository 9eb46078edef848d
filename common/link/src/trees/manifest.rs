//! A tree with its chunks numbered, and its form on disk.
//!
//! On disk: eight bytes that say what it is and in which version, the tree's parts as they go over the wire,
//! and the BLAKE3 of all that.

mod parts;

pub(super) use self::parts::Gathered;

use std::sync::{Arc, OnceLock, Weak};

use common::{
    id::TreeId,
    tree::{ChunkRef, InvalidTree, Tree},
    units::Bytes,
    wire::{self, DecodeError, EncodeError, Header, data::TreePart, frame::HEADER_BYTES},
};

use self::parts::{Parts, Size};

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
        Parts::of(self.tree())
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
mod tests;
