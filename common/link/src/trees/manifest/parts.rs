//! A description in the parts in which it travels, cut and put together again, within bounds.

use common::{
    tree::{Entry, EntryKind, Tree},
    wire::data::{CHUNKS_PER_PART, ENTRIES_PER_PART, TreePart},
};

use super::{InvalidManifest, MAX_TEXT_BYTES, MAX_TREE_CHUNKS, Manifest, TooLarge};

/// A tree's parts; at least one, the last one marked. A file with more chunks than a part should name goes on in the
/// next: as its first entry, under the same path.
#[derive(Debug)]
pub(in crate::trees) struct Parts<'a> {
    rest: Option<&'a [Entry]>,
    /// How many chunks of the first of them went before.
    sent: usize,
}

impl<'a> Parts<'a> {
    pub(super) fn of(tree: &'a Tree) -> Self {
        Self {
            rest: Some(tree.entries()),
            sent: 0,
        }
    }
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
            let left = entry.kind.chunks().len() - self.sent;
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

/// What a description adds up to so far.
#[derive(Debug, Default)]
pub(super) struct Size {
    pub(super) entries: usize,
    pub(super) chunks: usize,
    pub(super) text: usize,
}

impl Size {
    pub(super) fn add(&mut self, entry: &Entry) -> Result<(), TooLarge> {
        self.entries += 1;
        self.text += entry.path.as_bytes().len();
        if let EntryKind::Symlink { target } = &entry.kind {
            self.text += target.as_bytes().len();
        }
        self.add_chunks(entry.kind.chunks().len())?;
        if self.entries > common::tree::MAX_ENTRIES {
            Err(TooLarge::Entries)
        } else if self.text > MAX_TEXT_BYTES {
            Err(TooLarge::Text)
        } else {
            Ok(())
        }
    }

    pub(super) fn add_chunks(&mut self, count: usize) -> Result<(), TooLarge> {
        self.chunks += count;
        if self.chunks > MAX_TREE_CHUNKS {
            return Err(TooLarge::Chunks);
        }
        Ok(())
    }
}

/// The parts of a tree as they come in, bounded before they are kept.
#[derive(Debug, Default)]
pub(in crate::trees) struct Gathered {
    entries: Vec<Entry>,
    size: Size,
    pub(in crate::trees) complete: bool,
}

impl Gathered {
    pub(in crate::trees) fn add(&mut self, part: TreePart) -> Result<(), InvalidManifest> {
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

    pub(in crate::trees) fn into_manifest(self) -> Result<Manifest, InvalidManifest> {
        Ok(Manifest::new(Tree::new(self.entries)?)?)
    }
}
