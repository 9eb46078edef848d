//! A tree on the disk in a form that is looked things up in, piece by piece, with nothing of it in memory.
//!
//! Tables of records of one length each, little-endian: a header; nodes, level by level, so that what is in a folder
//! stands together, by name; the places of files, each a chunk's ordinal and where in the file it begins; the chunks
//! by ordinal, each with its id, size and where it is kept; names and link targets as they are. A node's number is its
//! inode's less one: the same tree has the same numbers everywhere.
//!
//! Written whole and put in place after; whoever reads still believes nothing that leads out of it.

mod write;

pub(crate) use self::write::write;

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt as _};

use common::{id::ChunkId, tree::ChunkRef};

const MAGIC: [u8; 8] = *b"CSHLAZY\x01";
const HEADER_BYTES: usize = 48;
const NODE_BYTES: usize = 32;
const PLACE_BYTES: usize = 12;
const CHUNK_BYTES: usize = 44;
/// Records of chunks that are read in one go, though not all of them are wanted, per wanted one.
const SPARE_CHUNKS: u32 = 4;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    File { executable: bool },
    Link,
}

/// One thing in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// The folder that it stands in; the outermost stands in itself.
    pub(crate) parent: u32,
    name_at: u32,
    name_bytes: u8,
    /// A folder's first node, a file's first place, where a link's target stands.
    first: u32,
    /// A folder's nodes, a file's places, the bytes of a link's target.
    count: u32,
    /// A file's bytes, a link's target's, the folders in a folder.
    pub(crate) size: u64,
}

impl Node {
    /// Returns the numbers of what stands in a folder, by name.
    pub(crate) fn children(&self) -> Range<u32> {
        match self.kind {
            Kind::Folder => self.first..self.first.saturating_add(self.count),
            Kind::File { .. } | Kind::Link => 0..0,
        }
    }
}

/// A chunk, and where it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) ordinal: u32,
    pub(crate) chunk: ChunkRef,
    pub(crate) at: u64,
}

/// A part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Where in the file the chunk begins.
    pub(crate) start: u64,
    pub(crate) chunk: Chunk,
}

/// The outermost folder's number.
pub(crate) const ROOT: u32 = 0;

/// An index, open.
#[derive(Debug)]
pub(crate) struct Index {
    file: File,
    nodes: u32,
    places: u32,
    chunks: u32,
    text: u64,
    kept: u64,
}

impl Index {
    pub(crate) fn open(file: File) -> io::Result<Self> {
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0)?;
        let index = Self {
            nodes: u32_at(&header, 8),
            places: u32_at(&header, 12),
            chunks: u32_at(&header, 16),
            text: u64_at(&header, 24),
            kept: u64_at(&header, 32),
            file,
        };
        let length = index.file.metadata()?.len();
        if header[..8] != MAGIC || length != index.text_at() + index.text || index.nodes == 0 {
            return Err(damaged());
        }
        Ok(index)
    }

    /// Returns how many chunks there are.
    pub(crate) const fn chunks(&self) -> u32 {
        self.chunks
    }

    /// Returns how many nodes there are.
    pub(crate) const fn nodes(&self) -> u32 {
        self.nodes
    }

    /// Returns the bytes of all chunks.
    pub(crate) const fn kept(&self) -> u64 {
        self.kept
    }

    fn places_at(&self) -> u64 {
        (HEADER_BYTES as u64) + u64::from(self.nodes) * NODE_BYTES as u64
    }

    fn chunks_at(&self) -> u64 {
        self.places_at() + u64::from(self.places) * PLACE_BYTES as u64
    }

    fn text_at(&self) -> u64 {
        self.chunks_at() + u64::from(self.chunks) * CHUNK_BYTES as u64
    }

    pub(crate) fn node(&self, number: u32) -> io::Result<Node> {
        let [node] = self.nodes_at(number..number.checked_add(1).ok_or_else(damaged)?)?[..] else {
            return Err(damaged());
        };
        Ok(node)
    }

    /// Returns nodes that stand together.
    pub(crate) fn nodes_at(&self, numbers: Range<u32>) -> io::Result<Vec<Node>> {
        let bytes = self.records(HEADER_BYTES as u64, NODE_BYTES, self.nodes, numbers)?;
        bytes.chunks_exact(NODE_BYTES).map(node).collect()
    }

    pub(crate) fn name(&self, node: &Node) -> io::Result<Vec<u8>> {
        self.text(node.name_at, u32::from(node.name_bytes))
    }

    pub(crate) fn target(&self, node: &Node) -> io::Result<Vec<u8>> {
        match node.kind {
            Kind::Link => self.text(node.first, node.count),
            Kind::Folder | Kind::File { .. } => Err(damaged()),
        }
    }

    /// Returns the node of this name in a folder, if there is one.
    pub(crate) fn lookup(&self, folder: &Node, name: &[u8]) -> io::Result<Option<(u32, Node)>> {
        let Range { mut start, mut end } = folder.children();
        while start < end {
            let middle = start + (end - start) / 2;
            let node = self.node(middle)?;
            match self.name(&node)?.as_slice().cmp(name) {
                std::cmp::Ordering::Equal => return Ok(Some((middle, node))),
                std::cmp::Ordering::Less => start = middle + 1,
                std::cmp::Ordering::Greater => end = middle,
            }
        }
        Ok(None)
    }

    /// Returns what a part of a file is made of, in order. The first may begin before the part and the last end
    /// after it.
    pub(crate) fn places(&self, file: &Node, part: Range<u64>) -> io::Result<Vec<Place>> {
        let (Kind::File { .. }, false) = (file.kind, part.is_empty() || part.start >= file.size)
        else {
            return Ok(Vec::new());
        };
        let end = file.first.checked_add(file.count).ok_or_else(damaged)?;
        // The last that begins at or before the part is the first of it.
        let (mut low, mut high) = (file.first, end);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.place(middle)?.1 <= part.start {
                low = middle;
            } else {
                high = middle;
            }
        }
        let mut found: Vec<(u32, u64)> = Vec::new();
        let mut from = low;
        while from < end && found.last().is_none_or(|(_, start)| *start < part.end) {
            // Enough for most parts in one go.
            let to = end.min(from.saturating_add(64));
            let bytes = self.records(self.places_at(), PLACE_BYTES, self.places, from..to)?;
            found.extend(bytes.chunks_exact(PLACE_BYTES).map(place));
            from = to;
        }
        found.retain(|(_, start)| *start < part.end);
        let ordinals: Vec<u32> = found.iter().map(|(ordinal, _)| *ordinal).collect();
        let chunks = self.chunks_of(&ordinals)?;
        let starts = found.iter().map(|(_, start)| *start);
        Ok(starts
            .zip(chunks)
            .map(|(start, chunk)| Place { start, chunk })
            .collect())
    }

    /// Returns these chunks, in the order of their ordinals here.
    pub(crate) fn chunks_of(&self, ordinals: &[u32]) -> io::Result<Vec<Chunk>> {
        let (Some(least), Some(most)) = (ordinals.iter().min(), ordinals.iter().max()) else {
            return Ok(Vec::new());
        };
        let wanted = u32::try_from(ordinals.len()).unwrap_or(u32::MAX);
        if most - least <= wanted.saturating_mul(SPARE_CHUNKS) {
            // Mostly they follow each other.
            let range = *least..most.checked_add(1).ok_or_else(damaged)?;
            let bytes = self.records(self.chunks_at(), CHUNK_BYTES, self.chunks, range)?;
            let record = |ordinal: &u32| {
                let at = (ordinal - least) as usize * CHUNK_BYTES;
                chunk(*ordinal, &bytes[at..at + CHUNK_BYTES])
            };
            return Ok(ordinals.iter().map(record).collect());
        }
        let one = |&ordinal: &u32| {
            let range = ordinal..ordinal.checked_add(1).ok_or_else(damaged)?;
            let bytes = self.records(self.chunks_at(), CHUNK_BYTES, self.chunks, range)?;
            Ok(chunk(ordinal, &bytes))
        };
        ordinals.iter().map(one).collect()
    }

    /// Returns the chunks that lie in this part of what is kept, the first and the last perhaps only partly.
    pub(crate) fn chunks_in(&self, part: Range<u64>) -> io::Result<Range<u32>> {
        let first_from = |at: u64| -> io::Result<u32> {
            let (mut low, mut high) = (0, self.chunks);
            while low < high {
                let middle = low + (high - low) / 2;
                let [found] = self.chunks_of(&[middle])?[..] else {
                    return Err(damaged());
                };
                if found.at + u64::from(found.chunk.bytes) <= at {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            Ok(low)
        };
        let start = first_from(part.start)?;
        let mut end = first_from(part.end)?;
        // The one that the part ends in belongs to it.
        if end < self.chunks && self.chunks_of(&[end])?[0].at < part.end {
            end += 1;
        }
        Ok(start..end.max(start))
    }

    fn place(&self, number: u32) -> io::Result<(u32, u64)> {
        let range = number..number.checked_add(1).ok_or_else(damaged)?;
        let bytes = self.records(self.places_at(), PLACE_BYTES, self.places, range)?;
        Ok(place(&bytes))
    }

    fn records(&self, at: u64, each: usize, count: u32, range: Range<u32>) -> io::Result<Vec<u8>> {
        if range.start > range.end || range.end > count {
            return Err(damaged());
        }
        let mut bytes = vec![0; range.len() * each];
        self.file
            .read_exact_at(&mut bytes, at + u64::from(range.start) * each as u64)?;
        Ok(bytes)
    }

    fn text(&self, at: u32, length: u32) -> io::Result<Vec<u8>> {
        if u64::from(at) + u64::from(length) > self.text {
            return Err(damaged());
        }
        let mut bytes = vec![0; length as usize];
        self.file
            .read_exact_at(&mut bytes, self.text_at() + u64::from(at))?;
        Ok(bytes)
    }
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the index is damaged")
}

fn node(bytes: &[u8]) -> io::Result<Node> {
    Ok(Node {
        kind: match bytes[0] {
            0 => Kind::Folder,
            1 => Kind::File { executable: false },
            2 => Kind::File { executable: true },
            3 => Kind::Link,
            _ => return Err(damaged()),
        },
        name_bytes: bytes[1],
        parent: u32_at(bytes, 4),
        name_at: u32_at(bytes, 8),
        first: u32_at(bytes, 12),
        count: u32_at(bytes, 16),
        size: u64_at(bytes, 24),
    })
}

fn place(bytes: &[u8]) -> (u32, u64) {
    (u32_at(bytes, 0), u64_at(bytes, 4))
}

fn chunk(ordinal: u32, bytes: &[u8]) -> Chunk {
    let mut id = [0; 32];
    id.copy_from_slice(&bytes[..32]);
    let chunk = ChunkRef {
        id: ChunkId::new(id),
        bytes: u32_at(bytes, 32),
    };
    let at = u64_at(bytes, 36);
    Chunk { ordinal, chunk, at }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}

#[cfg(test)]
mod tests;
