//! What is different between two trees, path by path.

use std::{cmp::Ordering, collections::BTreeSet, fmt, iter::Peekable};

use serde::Serialize;

use super::{Entry, EntryKind, Tree, TreePath};
use crate::{id::ChunkId, units::Bytes};

/// What became of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    Added,
    Removed,
    Changed,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        })
    }
}

/// A file or link that is not the same in both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Differing {
    pub path: TreePath,
    pub change: Change,
    /// Sizes of files; a link has none.
    pub before: Option<Bytes>,
    pub after: Option<Bytes>,
}

/// Everything that is different.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Sorted by path.
    pub paths: Vec<Differing>,
    /// Folders that only one of them has.
    pub folders: u64,
    /// What the pieces that both have add up to, each counted once.
    pub shared: Bytes,
    /// What all pieces of the second add up to, each counted once.
    pub total: Bytes,
}

/// Compares what was with what is.
pub fn diff(before: &Tree, after: &Tree) -> Difference {
    let mut found = Difference::default();
    let mut pairs = Pairs {
        before: before.entries().iter().peekable(),
        after: after.entries().iter().peekable(),
    };
    while let Some((one, other)) = pairs.next_pair() {
        let folders = [one, other].into_iter().flatten();
        let folders = folders.filter(|entry| entry.kind == EntryKind::Directory);
        if one.is_none() != other.is_none() {
            found.folders += folders.count() as u64;
        }
        found.paths.extend(differing(one, other));
    }
    let known: BTreeSet<ChunkId> = before.chunks().iter().map(|chunk| chunk.id).collect();
    for chunk in after.chunks() {
        found.total.0 += u64::from(chunk.bytes);
        if known.contains(&chunk.id) {
            found.shared.0 += u64::from(chunk.bytes);
        }
    }
    found
}

fn differing(before: Option<&Entry>, after: Option<&Entry>) -> Option<Differing> {
    let solid = |entry: &&Entry| entry.kind != EntryKind::Directory;
    let (before, after) = (before.filter(solid), after.filter(solid));
    let change = match (before, after) {
        (None, None) => return None,
        (Some(one), Some(other)) if one.kind == other.kind => return None,
        (Some(_), Some(_)) => Change::Changed,
        (Some(_), None) => Change::Removed,
        (None, Some(_)) => Change::Added,
    };
    Some(Differing {
        path: before.or(after)?.path.clone(),
        change,
        before: before.and_then(size),
        after: after.and_then(size),
    })
}

/// Returns the size of a file.
fn size(entry: &Entry) -> Option<Bytes> {
    match &entry.kind {
        EntryKind::File { chunks, .. } => Some(Bytes(
            chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum(),
        )),
        EntryKind::Directory | EntryKind::Symlink { .. } => None,
    }
}

/// Two sorted lists of entries, those with the same path together.
struct Pairs<'a, I: Iterator<Item = &'a Entry>> {
    before: Peekable<I>,
    after: Peekable<I>,
}

impl<'a, I: Iterator<Item = &'a Entry>> Pairs<'a, I> {
    fn next_pair(&mut self) -> Option<(Option<&'a Entry>, Option<&'a Entry>)> {
        let order = match (self.before.peek(), self.after.peek()) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => one.path.cmp(&other.path),
        };
        Some(match order {
            Ordering::Less => (self.before.next(), None),
            Ordering::Greater => (None, self.after.next()),
            Ordering::Equal => (self.before.next(), self.after.next()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{ChunkRef, chunk_id};

    fn file(path: &str, chunks: &[&str], executable: bool) -> Entry {
        let chunk = |text: &&str| ChunkRef {
            id: chunk_id(text.as_bytes()),
            bytes: u32::try_from(text.len()).unwrap(),
        };
        let chunks = chunks.iter().map(chunk).collect();
        Entry {
            path: path.parse().unwrap(),
            kind: EntryKind::File { executable, chunks },
        }
    }

    fn folder(path: &str) -> Entry {
        Entry {
            path: path.parse().unwrap(),
            kind: EntryKind::Directory,
        }
    }

    fn said(difference: &Difference) -> Vec<String> {
        let paths = difference.paths.iter();
        let size = |size: Option<Bytes>| size.map_or(-1, |size| i64::try_from(size.0).unwrap());
        let line = |one: &Differing| {
            format!(
                "{} {} {} {}",
                one.change,
                one.path,
                size(one.before),
                size(one.after)
            )
        };
        paths.map(line).collect()
    }

    #[test]
    fn every_path_is_said_to_be_added_removed_or_changed() {
        let before = Tree::new(vec![
            folder("a"),
            file("a/gone", &["gone"], false),
            file("a/same", &["same"], false),
            file("changed", &["same", "old"], false),
            file("mode", &["run"], false),
            file("was-file", &["x"], false),
        ]);
        let after = Tree::new(vec![
            folder("a"),
            file("a/same", &["same"], false),
            folder("b"),
            file("b/new", &["same"], false),
            file("changed", &["same", "newer"], false),
            file("mode", &["run"], true),
            folder("was-file"),
        ]);
        let (before, after) = (before.unwrap(), after.unwrap());
        let found = diff(&before, &after);
        assert_eq!(
            said(&found),
            [
                "removed a/gone 4 -1",
                "added b/new -1 4",
                "changed changed 7 9",
                "changed mode 3 3",
                "removed was-file 1 -1",
            ]
        );
        assert_eq!(
            (found.folders, found.shared, found.total),
            (1, Bytes(7), Bytes(12))
        );
        assert_eq!(diff(&after, &after).paths, []);
        let nothing = diff(&Tree::default(), &Tree::default());
        assert_eq!(nothing, Difference::default());
        assert_eq!(diff(&Tree::default(), &after).paths.len(), 4);
    }
}
