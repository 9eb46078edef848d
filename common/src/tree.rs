//! A folder's content as data: the one form in which datasets, work folders and artifacts travel.
//!
//! A [`Tree`] lists paths, kinds and the chunks that files are made of. It is valid by construction: whoever
//! holds one knows that no path leaves the folder, that none stands under a file or a symbolic link, and that
//! every symbolic link stays inside. Its id is the digest of its content, so equal folders are equal trees.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use crate::{
    id::{ChunkId, TreeId},
    units::Bytes,
};

/// Most entries of one tree.
pub const MAX_ENTRIES: usize = 1_000_000;
/// Longest path inside a tree, in bytes; Linux' PATH_MAX leaves room for where it is put.
pub const MAX_PATH_BYTES: usize = 2048;
/// Longest single name, in bytes; the limit of common file systems.
pub const MAX_COMPONENT_BYTES: usize = 255;
/// Largest chunk. A chunk is read, hashed and sent as one piece.
pub const MAX_CHUNK_BYTES: u32 = 1 << 20;

/// A relative path of plain names, `/` between them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TreePath(String);

impl TreePath {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the folders above this path, nearest first.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(parent(&self.0), |path| parent(path))
    }
}

fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent)
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for TreePath {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        if text.is_empty() {
            return Err(InvalidPath::Empty);
        }
        if text.len() > MAX_PATH_BYTES {
            return Err(InvalidPath::TooLong);
        }
        if text.starts_with('/') {
            return Err(InvalidPath::Absolute);
        }
        if text.contains('\0') {
            return Err(InvalidPath::Nul);
        }
        for component in text.split('/') {
            match component {
                "" | "." => return Err(InvalidPath::NotPlain),
                ".." => return Err(InvalidPath::Escapes),
                long if long.len() > MAX_COMPONENT_BYTES => return Err(InvalidPath::TooLong),
                _ => {}
            }
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for TreePath {
    type Error = InvalidPath;

    fn try_from(text: String) -> Result<Self, InvalidPath> {
        text.parse()
    }
}

impl From<TreePath> for String {
    fn from(path: TreePath) -> Self {
        path.0
    }
}

/// Why a text is not a [`TreePath`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    #[error("the path is empty")]
    Empty,
    #[error(
        "the path is longer than {MAX_PATH_BYTES} bytes, or a name in it longer than {MAX_COMPONENT_BYTES}"
    )]
    TooLong,
    #[error("the path is absolute")]
    Absolute,
    #[error("the path holds a NUL byte")]
    Nul,
    #[error("the path has an empty or '.' component")]
    NotPlain,
    #[error("the path leaves the folder through '..'")]
    Escapes,
}

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
        target: String,
    },
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
        let solid: BTreeSet<&str> = entries
            .iter()
            .filter(|entry| !matches!(entry.kind, EntryKind::Directory))
            .map(|entry| entry.path.as_str())
            .collect();
        for entry in &entries {
            if entry.path.ancestors().any(|above| solid.contains(above)) {
                return Err(InvalidTree::BelowFile(entry.path.clone()));
            }
            match &entry.kind {
                EntryKind::Directory => {}
                EntryKind::File { chunks, .. } => {
                    let fits = |chunk: &ChunkRef| (1..=MAX_CHUNK_BYTES).contains(&chunk.bytes);
                    if !chunks.iter().all(fits) {
                        return Err(InvalidTree::ChunkSize(entry.path.clone()));
                    }
                }
                EntryKind::Symlink { target } => {
                    if !stays_inside(&entry.path, target) {
                        return Err(InvalidTree::LinkEscapes(entry.path.clone()));
                    }
                }
            }
        }
        let mut sizes = BTreeMap::new();
        for entry in &entries {
            let EntryKind::File { chunks, .. } = &entry.kind else {
                continue;
            };
            for chunk in chunks {
                if *sizes.entry(chunk.id).or_insert(chunk.bytes) != chunk.bytes {
                    return Err(InvalidTree::ChunkSize(entry.path.clone()));
                }
            }
        }
        Ok(Self { entries })
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the digest of everything the tree says: every text with its length before it, every number in
    /// little-endian order, so that no two different trees are written alike. Independent of the wire's codec.
    pub fn id(&self) -> TreeId {
        let mut hasher = blake3::Hasher::new_derive_key("compute-share tree v1");
        let text = |hasher: &mut blake3::Hasher, text: &str| {
            hasher
                .update(&(text.len() as u64).to_le_bytes())
                .update(text.as_bytes());
        };
        for entry in &self.entries {
            text(&mut hasher, entry.path.as_str());
            match &entry.kind {
                EntryKind::Directory => {
                    hasher.update(b"d");
                }
                EntryKind::File { executable, chunks } => {
                    hasher.update(if *executable { b"x" } else { b"f" });
                    hasher.update(&(chunks.len() as u64).to_le_bytes());
                    for chunk in chunks {
                        hasher
                            .update(chunk.id.as_bytes())
                            .update(&chunk.bytes.to_le_bytes());
                    }
                }
                EntryKind::Symlink { target } => {
                    hasher.update(b"l");
                    text(&mut hasher, target);
                }
            }
        }
        TreeId::new(*hasher.finalize().as_bytes())
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
        let mut seen = BTreeSet::new();
        let all = self.files().flat_map(|(_, chunks)| chunks);
        all.filter(|chunk| seen.insert(chunk.id)).copied().collect()
    }
}

/// Returns the id of these bytes as one chunk.
pub fn chunk_id(bytes: &[u8]) -> ChunkId {
    ChunkId::new(*blake3::hash(bytes).as_bytes())
}

/// Returns whether a link at `path` to `target` stays in the tree, judged by names alone; targets that
/// themselves are links are judged where they stand.
fn stays_inside(path: &TreePath, target: &str) -> bool {
    if target.is_empty() || target.starts_with('/') || target.contains('\0') {
        return false;
    }
    if target.len() > MAX_PATH_BYTES {
        return false;
    }
    let mut depth = path.ancestors().count();
    for component in target.split('/') {
        match component {
            "" | "." => {}
            ".." => match depth.checked_sub(1) {
                None => return false,
                Some(up) => depth = up,
            },
            _ => depth += 1,
        }
    }
    true
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
                target: target.to_owned(),
            },
        }
    }

    #[test]
    fn hostile_paths_are_refused() {
        for bad in [
            "",
            "/etc/passwd",
            "..",
            "a/../../b",
            "a//b",
            "./a",
            "a/.",
            "a\0b",
        ] {
            assert!(bad.parse::<TreePath>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(256).parse::<TreePath>().is_err());
        assert!("a/..b/c..".parse::<TreePath>().is_ok());
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
