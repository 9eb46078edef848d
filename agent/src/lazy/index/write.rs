//! A tree laid out as an index.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{self, BufWriter},
    path::Path,
};

use common::tree::{ChunkRef, EntryKind, Tree};
use link::trees::ChunkMap;

use super::{MAGIC, PLACE_BYTES, damaged};

/// Writes the index of a tree to `path`, whole or not at all. Blocks.
pub(crate) fn write(tree: &Tree, chunks: &[ChunkRef], path: &Path) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let file = File::create(&draft)?;
    let mut out = BufWriter::new(file);
    Laid::out(tree).write(tree, chunks, &mut out)?;
    out.into_inner().map_err(io::Error::from)?.sync_data()?;
    std::fs::rename(&draft, path)
}

/// Where each node stands.
struct Laid<'a> {
    /// In the order of their numbers: the full path, and which entry it is; a folder need not be one.
    nodes: Vec<(&'a [u8], Option<usize>)>,
}

impl<'a> Laid<'a> {
    fn out(tree: &'a Tree) -> Self {
        let entries = tree.entries();
        let mut nodes: Vec<(&[u8], Option<usize>)> = vec![(b"", None)];
        let mut folders: HashSet<&[u8]> = HashSet::new();
        for (index, entry) in entries.iter().enumerate() {
            nodes.push((entry.path.as_bytes(), Some(index)));
            if entry.kind == EntryKind::Directory {
                folders.insert(entry.path.as_bytes());
            }
        }
        for entry in entries {
            for above in entry.path.ancestors() {
                if !folders.insert(above) {
                    break;
                }
                nodes.push((above, None));
            }
        }
        // A folder that is listed has the entry's own node: the one that was added for what is below it goes.
        let depth = |path: &[u8]| match path {
            b"" => 0,
            path => 1 + path.iter().filter(|&&byte| byte == b'/').count(),
        };
        nodes.sort_by_cached_key(|(path, entry)| {
            let (parent, name) = split(path);
            (depth(path), parent, name, entry.is_none())
        });
        nodes.dedup_by(|later, earlier| later.0 == earlier.0);
        Self { nodes }
    }

    fn write(&self, tree: &Tree, chunks: &[ChunkRef], out: &mut impl io::Write) -> io::Result<()> {
        let number = |index: usize| u32::try_from(index).map_err(|_| damaged());
        let folders: HashMap<&[u8], u32> = self
            .nodes
            .iter()
            .zip(0..)
            .filter(|((_, entry), _)| entry.is_none_or(|at| is_folder(tree, at)))
            .map(|((path, _), number)| (*path, number))
            .collect();
        // What is in a folder stands together: where that begins, how much it is, how much of it is folders.
        let mut inside = vec![(0_u32, 0_u32, 0_u64); self.nodes.len()];
        for (index, (path, _)) in self.nodes.iter().enumerate().skip(1) {
            let parent = folders.get(split(path).0).ok_or_else(damaged)?;
            let (first, count, within) = &mut inside[*parent as usize];
            if *count == 0 {
                *first = number(index)?;
            }
            *count += 1;
            *within += u64::from(folders.contains_key(path));
        }
        let ordinals: ChunkMap<u32> = chunks.iter().map(|chunk| chunk.id).zip(0..).collect();
        let (mut nodes, mut places, mut text) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (path, entry)) in self.nodes.iter().enumerate() {
            let (parent, name) = split(path);
            let name_at = number(text.len())?;
            text.extend_from_slice(name);
            let (kind, first, count, size) = match entry.map(|at| &tree.entries()[at].kind) {
                None | Some(EntryKind::Directory) => {
                    let (first, count, within) = inside[index];
                    (0, first, count, within)
                }
                Some(EntryKind::File { executable, chunks }) => {
                    let first = number(places.len() / PLACE_BYTES)?;
                    let mut start = 0_u64;
                    for chunk in chunks {
                        let ordinal = ordinals.get(&chunk.id).ok_or_else(damaged)?;
                        places.extend(ordinal.to_le_bytes());
                        places.extend(start.to_le_bytes());
                        start += u64::from(chunk.bytes);
                    }
                    let kind = if *executable { 2 } else { 1 };
                    (kind, first, number(chunks.len())?, start)
                }
                Some(EntryKind::Symlink { target }) => {
                    let target = target.as_bytes();
                    let first = number(text.len())?;
                    text.extend_from_slice(target);
                    (3, first, number(target.len())?, target.len() as u64)
                }
            };
            let parent = folders.get(parent).ok_or_else(damaged)?;
            let name_bytes = u8::try_from(name.len()).map_err(|_| damaged())?;
            nodes.extend([kind, name_bytes, 0, 0]);
            for field in [*parent, name_at, first, count, 0] {
                nodes.extend(field.to_le_bytes());
            }
            nodes.extend(size.to_le_bytes());
        }
        let kept: u64 = chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum();
        out.write_all(&MAGIC)?;
        let counts = [
            self.nodes.len(),
            places.len() / PLACE_BYTES,
            chunks.len(),
            0,
        ];
        for count in counts {
            out.write_all(&number(count)?.to_le_bytes())?;
        }
        for wide in [text.len() as u64, kept, 0] {
            out.write_all(&wide.to_le_bytes())?;
        }
        out.write_all(&nodes)?;
        out.write_all(&places)?;
        let mut at = 0_u64;
        for chunk in chunks {
            out.write_all(chunk.id.as_bytes())?;
            out.write_all(&chunk.bytes.to_le_bytes())?;
            out.write_all(&at.to_le_bytes())?;
            at += u64::from(chunk.bytes);
        }
        out.write_all(&text)
    }
}

fn is_folder(tree: &Tree, at: usize) -> bool {
    tree.entries()[at].kind == EntryKind::Directory
}

/// Returns the folder above and the name; the outermost has no name and stands in itself.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}
