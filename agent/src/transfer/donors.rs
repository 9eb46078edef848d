//! What folders that are here already have of a tree that is about to come: whole files, and pieces of files.
//!
//! [`Wishes`] are held against one tree after the other; what comes of them are [`Donors`], which a
//! [`super::layout::Layout`] takes from. A donor is sealed: a file that does not say so any more gives nothing.

mod similar;

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io,
    path::Path,
};

use common::{
    id::ChunkId,
    tree::{ChunkRef, Entry, EntryKind, Tree, TreePath},
    units::Bytes,
};
use link::trees::{ChunkMap, Manifest};
use rustix::fs::{FileType, Stat};

use super::{
    beneath::{Folder, Mark},
    cache::SEALED_AT,
    ordinals::Ordinals,
};

/// Equal for files of equal content that were cut alike.
type Key = ([u8; 32], bool);

fn key(executable: bool, chunks: &[ChunkRef]) -> Key {
    if let [only] = chunks {
        return (*only.id.as_bytes(), executable);
    }
    let mut hasher = blake3::Hasher::new();
    for chunk in chunks {
        hasher.update(chunk.id.as_bytes());
    }
    (*hasher.finalize().as_bytes(), executable)
}

/// Returns the size of a file that is made of these.
pub(super) fn size_of(chunks: &[ChunkRef]) -> u64 {
    chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum()
}

/// What a tree still lacks.
#[derive(Debug)]
pub(super) struct Wishes<'a> {
    manifest: &'a Manifest,
    /// Entries. An empty file is no wish: it is made as fast as it is linked.
    files: Vec<usize>,
    /// The same by content, once a tree was asked for files of the same names: of the next version that leaves little.
    rest: Option<Rest>,
    found: Donors,
}

/// What is lacking, by content.
#[derive(Debug)]
struct Rest {
    /// The entries that have it.
    files: HashMap<Key, Vec<usize>>,
    /// What they begin with: most files of other trees need not be looked at closer.
    beginnings: HashSet<ChunkId>,
    /// The ordinal of each, and in how many places it is lacking.
    chunks: ChunkMap<(u32, u32)>,
}

impl Rest {
    /// `found` says which chunks are lacking no more.
    fn of(manifest: &Manifest, lacking: &[usize], ordinals: &Ordinals, found: &[bool]) -> Self {
        let mut rest = Self {
            files: HashMap::new(),
            beginnings: HashSet::new(),
            chunks: ChunkMap::new(),
        };
        for &index in lacking {
            if let EntryKind::File { executable, chunks } = &manifest.tree().entries()[index].kind {
                let with = rest.files.entry(key(*executable, chunks));
                with.or_default().push(index);
                rest.beginnings.extend(chunks.first().map(|first| first.id));
                for (chunk, ordinal) in chunks.iter().zip(ordinals.of_entry(index)) {
                    if !found[*ordinal as usize] {
                        rest.chunks.entry(chunk.id).or_insert((*ordinal, 0)).1 += 1;
                    }
                }
            }
        }
        rest
    }

    /// Returns the entries that are made of these, which are lacking no more.
    fn take(&mut self, executable: bool, chunks: &[ChunkRef]) -> Option<Vec<usize>> {
        let first = chunks.first()?;
        if !self.beginnings.contains(&first.id) {
            return None;
        }
        self.files.remove(&key(executable, chunks))
    }

    /// Takes note that an entry's file comes as a whole.
    fn met(&mut self, entry: &Entry) {
        if let EntryKind::File { chunks, .. } = &entry.kind {
            for chunk in chunks {
                if let Some((_, places)) = self.chunks.get_mut(&chunk.id) {
                    *places -= 1;
                    if *places == 0 {
                        self.chunks.remove(&chunk.id);
                    }
                }
            }
        }
    }
}

impl<'a> Wishes<'a> {
    pub(super) fn of(manifest: &'a Manifest) -> Self {
        let is_wish = |entry: &Entry| matches!(&entry.kind, EntryKind::File { chunks, .. } if !chunks.is_empty());
        let entries = manifest.tree().entries().iter().enumerate();
        let wishes = entries.filter(|(_, entry)| is_wish(entry));
        Self {
            manifest,
            files: wishes.map(|(index, _)| index).collect(),
            rest: None,
            found: Donors::default(),
        }
    }

    /// Returns whether nothing is lacking any more.
    pub(super) fn are_met(&self) -> bool {
        match &self.rest {
            Some(rest) => rest.chunks.is_empty(),
            None => self.files.is_empty(),
        }
    }

    /// Holds what is lacking against a tree whose content is in `folder`. Returns whether it has anything of it.
    pub(super) fn ask(&mut self, folder: &Path, tree: &Tree) -> io::Result<bool> {
        let opened = Folder::open(folder)?;
        let number = self.found.folders.len();
        let mut gave = false;
        let mut rest = match self.rest.take() {
            Some(rest) => rest,
            None => {
                let ordinals = Ordinals::of(self.manifest);
                let mut found = vec![false; self.manifest.chunks().len()];
                gave = self.ask_by_name(number, tree, &ordinals, &mut found);
                Rest::of(self.manifest, &self.files, &ordinals, &found)
            }
        };
        for entry in tree.entries() {
            let EntryKind::File { executable, chunks } = &entry.kind else {
                continue;
            };
            if rest.chunks.is_empty() && rest.files.is_empty() {
                break;
            }
            let mut source = None;
            let mut from = |found: &mut Donors| {
                *source.get_or_insert_with(|| found.add(number, &entry.path, chunks))
            };
            if let Some(indexes) = rest.take(*executable, chunks) {
                for index in indexes {
                    let source = from(&mut self.found);
                    self.found.files.insert(index, source);
                    rest.met(&self.manifest.tree().entries()[index]);
                }
            }
            let mut offset = 0;
            for chunk in chunks {
                if rest.chunks.is_empty() {
                    break;
                }
                if let Some((ordinal, _)) = rest.chunks.remove(&chunk.id) {
                    let source = from(&mut self.found);
                    self.found.chunks.push((ordinal, Spot { source, offset }));
                }
                offset += u64::from(chunk.bytes);
            }
            gave |= source.is_some();
        }
        self.rest = Some(rest);
        if gave {
            self.found.folders.push(opened);
        }
        Ok(gave)
    }

    /// Takes the files that a tree has under the same names, and what it has of them in the same order. Returns
    /// whether there is anything; `has` notes which chunks there are.
    fn ask_by_name(
        &mut self,
        folder: usize,
        tree: &Tree,
        ordinals: &Ordinals,
        has: &mut [bool],
    ) -> bool {
        let (entries, found) = (self.manifest.tree().entries(), &mut self.found);
        let mut theirs = tree.entries().iter().peekable();
        let before = (self.files.len(), found.sources.len());
        self.files.retain(|&index| {
            let ours = &entries[index];
            while theirs.next_if(|entry| entry.path < ours.path).is_some() {}
            let Some(named) = theirs.next_if(|entry| entry.path == ours.path) else {
                return true;
            };
            let chunks = named.kind.chunks();
            if named == ours {
                let source = found.add(folder, &named.path, chunks);
                found.files.insert(index, source);
                return false;
            }
            let (mut source, mut at, mut offset) = (None, 0, 0);
            let ordinals = ordinals.of_entry(index);
            similar::walk(ours.kind.chunks(), chunks, |own, other| {
                offset += size_of(&chunks[at..other]);
                at = other;
                if !std::mem::replace(&mut has[ordinals[own] as usize], true) {
                    let source =
                        *source.get_or_insert_with(|| found.add(folder, &named.path, chunks));
                    found.chunks.push((ordinals[own], Spot { source, offset }));
                }
            });
            true
        });
        before != (self.files.len(), found.sources.len())
    }

    pub(super) fn into_donors(mut self) -> Donors {
        self.found.chunks.sort_by_key(|(ordinal, _)| *ordinal);
        self.found
    }
}

/// Where to take from. Whoever uses it sees to it that the folders stay.
#[derive(Debug, Default)]
pub(super) struct Donors {
    folders: Vec<Folder>,
    sources: Vec<Source>,
    /// By entry, which source is the same file.
    files: HashMap<usize, usize>,
    /// Ordinals and where those chunks stand; sorted, each once.
    chunks: Vec<(u32, Spot)>,
}

/// A file that has something.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) folder: usize,
    pub(super) path: TreePath,
    bytes: u64,
}

/// Where a chunk stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    /// See [`Donors::source`].
    pub(super) source: usize,
    pub(super) offset: u64,
}

impl Donors {
    /// Takes note of a file that has something; returns its number.
    fn add(&mut self, folder: usize, path: &TreePath, chunks: &[ChunkRef]) -> usize {
        self.sources.push(Source {
            folder,
            path: path.clone(),
            bytes: size_of(chunks),
        });
        self.sources.len() - 1
    }

    pub(super) fn is_empty(&self) -> bool {
        self.folders.is_empty()
    }

    /// Returns the file that is the same as the entry's.
    pub(super) fn file(&self, index: usize) -> Option<&Source> {
        Some(&self.sources[*self.files.get(&index)?])
    }

    /// Returns the chunks that there are, by ordinal.
    pub(super) fn chunks(&self) -> &[(u32, Spot)] {
        &self.chunks
    }

    /// Returns how much there is as whole files.
    pub(super) fn linked(&self) -> impl Iterator<Item = Bytes> {
        self.files
            .values()
            .map(|source| Bytes(self.sources[*source].bytes))
    }

    pub(super) fn folder(&self, number: usize) -> &Folder {
        &self.folders[number]
    }

    /// Opens a source; `None` if it is not as it was sealed.
    pub(super) fn open(&self, source: usize) -> Option<File> {
        let source = &self.sources[source];
        let (file, mark) = self.folders[source.folder].read(&source.path).ok()?;
        (mark.modified == SEALED_AT && mark.size == source.bytes).then_some(file)
    }
}

impl Source {
    /// Returns whether this is the file as it was sealed.
    pub(super) fn is_sealed(&self, stat: &Stat) -> bool {
        let mark = Mark::of_stat(stat);
        FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && mark.modified == SEALED_AT
            && mark.size == self.bytes
    }
}

#[cfg(test)]
mod tests;
