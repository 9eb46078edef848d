//! A folder's content as data: the one form in which datasets, work folders and artifacts travel.
//!
//! A [`Tree`] lists paths, kinds and the chunks that files are made of. It is valid by construction: whoever
//! holds one knows that no path leaves the folder, that none stands under a file or a symbolic link, and that
//! every symbolic link stays inside. Its id is the digest of its content, so equal folders are equal trees.

pub mod diff;
mod digest;
mod hash;
mod path;
mod repeats;

pub use self::hash::chunk_ids;

pub use self::path::{
    InvalidPath, LinkTarget, MAX_COMPONENT_BYTES, MAX_PATH_BYTES, TreePath, escaped,
};

use serde::{Deserialize, Serialize};

use crate::{
    id::{ChunkId, TreeId},
    units::Bytes,
};

/// Most entries of one tree: a million files, and their folders.
pub const MAX_ENTRIES: usize = 2_000_000;
/// Largest chunk. A chunk is read, hashed and sent as one piece.
pub const MAX_CHUNK_BYTES: u32 = 1 << 20;

/// A piece of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ChunkRef {
    pub id: ChunkId,
    /// 1 to [`MAX_CHUNK_BYTES`].
    pub bytes: u32,
}

/// One thing in a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub path: TreePath,
    pub kind: EntryKind,
}

/// What stands at a path. Devices, FIFOs and sockets cannot be expressed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    Directory,
    File {
        executable: bool,
        /// In the order in which they make up the file.
        chunks: Vec<ChunkRef>,
    },
    /// The target, relative to the link's own folder.
    Symlink {
        target: LinkTarget,
    },
}

impl EntryKind {
    /// Returns the chunks of a file; nothing else has any.
    pub fn chunks(&self) -> &[ChunkRef] {
        match self {
            Self::File { chunks, .. } => chunks,
            Self::Directory | Self::Symlink { .. } => &[],
        }
    }
}

/// A folder's whole content, sorted by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    entries: Vec<Entry>,
}

impl Tree {
    /// Sorts and checks `entries`.
    ///
    /// # Errors
    /// The first entry that has no place in a tree, and why.
    pub fn new(mut entries: Vec<Entry>) -> Result<Self, InvalidTree> {
        if entries.len() > MAX_ENTRIES {
            return Err(InvalidTree::TooManyEntries);
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].path == pair[1].path) {
            return Err(InvalidTree::Duplicate(pair[0].path.clone()));
        }
        let tree = Self { entries };
        tree.check_places()?;
        tree.check_chunks()?;
        Ok(tree)
    }

    /// Checks that nothing stands below what is no folder, and that no link leads out.
    fn check_places(&self) -> Result<(), InvalidTree> {
        // Neighbours mostly stand in one folder, which is looked at once.
        let mut last: Option<&[u8]> = None;
        for entry in &self.entries {
            let parent = entry.path.ancestors().next();
            if parent != last {
                for above in entry.path.ancestors() {
                    let found = self
                        .entries
                        .binary_search_by(|other| other.path.as_bytes().cmp(above));
                    let kind = found.ok().map(|index| &self.entries[index].kind);
                    if kind.is_some_and(|kind| !matches!(kind, EntryKind::Directory)) {
                        return Err(InvalidTree::BelowFile(entry.path.clone()));
                    }
                }
                last = parent;
            }
            if let EntryKind::Symlink { target } = &entry.kind
                && !target.stays_inside(&entry.path)
            {
                return Err(InvalidTree::LinkEscapes(entry.path.clone()));
            }
        }
        Ok(())
    }

    /// Checks that every chunk has a size that it can have, and that none has two.
    fn check_chunks(&self) -> Result<(), InvalidTree> {
        for (path, chunks) in self.files() {
            let fits = |chunk: &ChunkRef| (1..=MAX_CHUNK_BYTES).contains(&chunk.bytes);
            if !chunks.iter().all(fits) {
                return Err(InvalidTree::ChunkSize(path.clone()));
            }
        }
        let mut uneven = None;
        repeats::walk(&self.entries, |path, chunk, before| {
            if before.is_some_and(|before| before.bytes != chunk.bytes) {
                uneven.get_or_insert(path);
            }
        });
        uneven.map_or(Ok(()), |path| Err(InvalidTree::ChunkSize(path.clone())))
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the digest of everything the tree says. Independent of the wire's codec.
    pub fn id(&self) -> TreeId {
        digest::of(&self.entries)
    }

    /// Returns the sum of all files' sizes, equal chunks counted each time.
    pub fn bytes(&self) -> Bytes {
        let total = self
            .files()
            .flat_map(|(_, chunks)| chunks)
            .map(|chunk| u64::from(chunk.bytes));
        Bytes(total.sum())
    }

    pub fn file_count(&self) -> u64 {
        self.files().count() as u64
    }

    /// Returns every file's path and chunks.
    pub fn files(&self) -> impl Iterator<Item = (&TreePath, &[ChunkRef])> {
        self.entries.iter().filter_map(|entry| match &entry.kind {
            EntryKind::File { chunks, .. } => Some((&entry.path, chunks.as_slice())),
            _ => None,
        })
    }

    /// Returns every chunk once, in the order in which the tree first names it. The position in this list is
    /// the chunk's ordinal on the wire, the same for both sides.
    pub fn chunks(&self) -> Vec<ChunkRef> {
        let mut once = Vec::new();
        repeats::walk(&self.entries, |_, chunk, before| {
            if before.is_none() {
                once.push(*chunk);
            }
        });
        // Who keeps it counts what is in it.
        once.shrink_to_fit();
        once
    }

    /// Returns what of the tree is at `path` or below it, under the same names.
    pub fn within(&self, path: &TreePath) -> Self {
        let entries = self.entries.iter();
        let entries = entries.filter(|entry| entry.path.is_within(path)).cloned();
        Self {
            entries: entries.collect(),
        }
    }
}

/// Returns the id of these bytes as one chunk.
pub fn chunk_id(bytes: &[u8]) -> ChunkId {
    ChunkId::new(*blake3::hash(bytes).as_bytes())
}

/// Why entries do not make a [`Tree`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTree {
    #[error("it has more than {MAX_ENTRIES} entries")]
    TooManyEntries,
    #[error("{0:?} is listed twice")]
    Duplicate(TreePath),
    #[error("{0:?} stands below a file or a symbolic link")]
    BelowFile(TreePath),
    #[error("a chunk of {0:?} has an impossible size")]
    ChunkSize(TreePath),
    #[error("the symbolic link {0:?} leads out of the folder")]
    LinkEscapes(TreePath),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        text.parse().unwrap()
    }

    fn file(at: &str) -> Entry {
        let chunks = vec![ChunkRef {
            id: chunk_id(at.as_bytes()),
            bytes: 3,
        }];
        Entry {
            path: path(at),
            kind: EntryKind::File {
                executable: false,
                chunks,
            },
        }
    }

    fn link(at: &str, target: &str) -> Entry {
        Entry {
            path: path(at),
            kind: EntryKind::Symlink {
                target: target.into(),
            },
        }
    }

    #[test]
    fn nothing_stands_below_a_link_or_leads_out() {
        let below = Tree::new(vec![link("a", "b"), file("a/x")]);
        assert_eq!(below, Err(InvalidTree::BelowFile(path("a/x"))));
        let out = Tree::new(vec![link("a/b", "../../etc")]);
        assert_eq!(out, Err(InvalidTree::LinkEscapes(path("a/b"))));
        assert_eq!(
            Tree::new(vec![link("a", "/etc")]),
            Err(InvalidTree::LinkEscapes(path("a")))
        );
        assert!(Tree::new(vec![link("a/b", "../c"), file("c")]).is_ok());
        let twice = Tree::new(vec![file("a"), file("a")]);
        assert_eq!(twice, Err(InvalidTree::Duplicate(path("a"))));
    }

    #[test]
    fn a_trees_id_tells_content_not_order() {
        let tree = Tree::new(vec![file("b"), file("a")]).unwrap();
        assert_eq!(
            tree.id(),
            Tree::new(vec![file("a"), file("b")]).unwrap().id()
        );
        assert_ne!(tree.id(), Tree::new(vec![file("a")]).unwrap().id());
        assert_ne!(
            Tree::new(vec![link("a", "b")]).unwrap().id(),
            Tree::new(vec![file("a")]).unwrap().id()
        );
        assert_eq!(tree.bytes(), Bytes(6));
        assert_eq!(tree.chunks().len(), 2);
    }

    #[test]
    fn one_chunk_cannot_have_two_sizes() {
        let chunk = |bytes| ChunkRef {
            id: chunk_id(b"x"),
            bytes,
        };
        let entry = |at: &str, bytes| Entry {
            path: path(at),
            kind: EntryKind::File {
                executable: false,
                chunks: vec![chunk(bytes)],
            },
        };
        assert!(Tree::new(vec![entry("a", 1), entry("b", 2)]).is_err());
        assert!(Tree::new(vec![entry("a", 0)]).is_err());
        assert!(Tree::new(vec![entry("a", MAX_CHUNK_BYTES + 1)]).is_err());
    }
}
