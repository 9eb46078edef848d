//! A tree's chunks, read from the folder in which its files are, or are about to be, for other machines.

use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
    sync::{Mutex, OnceLock, PoisonError},
};

use common::{
    code::Code,
    problem::Problem,
    tree::{ChunkRef, EntryKind},
};
use link::trees::{Manifest, Piece, PieceSource, io_problem};

use super::{Pinned, beneath::Folder};

/// See the module. What it reads nobody has checked: who receives it does.
pub(crate) struct Stock {
    manifest: Manifest,
    /// Still the right one when it gets another name.
    folder: Folder,
    /// By ordinal: a file, as an index into the tree's entries, and an offset.
    places: Vec<(u32, u64)>,
    /// Ordinals, sorted by their chunks' ids; made when somebody asks for the first.
    by_id: OnceLock<Vec<u32>>,
    /// By ordinal: whether the chunk is there. `None` is that all are.
    here: Option<Mutex<Vec<bool>>>,
    _pinned: Option<Pinned>,
}

impl std::fmt::Debug for Stock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stock({})", self.manifest.id())
    }
}

impl Stock {
    /// Opens a whole tree, which stays in the cache for as long. Blocks.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn whole(manifest: &Manifest, pinned: Pinned) -> io::Result<Self> {
        let folder = Folder::open(pinned.path())?;
        Ok(Self::new(manifest, folder, None, Some(pinned)))
    }

    /// Opens the folder into which a tree is being written; of its chunks `here` says which are there. Blocks.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn filling(manifest: &Manifest, path: &Path, here: Vec<bool>) -> io::Result<Self> {
        let folder = Folder::open(path)?;
        Ok(Self::new(manifest, folder, Some(Mutex::new(here)), None))
    }

    fn new(
        manifest: &Manifest,
        folder: Folder,
        here: Option<Mutex<Vec<bool>>>,
        pinned: Option<Pinned>,
    ) -> Self {
        Self {
            manifest: manifest.clone(),
            folder,
            places: places(manifest),
            by_id: OnceLock::new(),
            here,
            _pinned: pinned,
        }
    }

    pub(crate) const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Takes note of chunks that have come.
    pub(crate) fn came(&self, ordinals: Range<u32>) {
        if let Some(here) = &self.here {
            let mut here = here.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(here) = here.get_mut(ordinals.start as usize..ordinals.end as usize) {
                here.fill(true);
            }
        }
    }

    fn ordinal(&self, chunk: &ChunkRef) -> Option<u32> {
        let chunks = self.manifest.chunks();
        let id = |ordinal: &u32| chunks[*ordinal as usize].id;
        let by_id = self.by_id.get_or_init(|| {
            let ordinals = (0_u32..).zip(chunks).map(|(ordinal, _)| ordinal);
            let mut by_id: Vec<u32> = ordinals.collect();
            by_id.sort_unstable_by_key(id);
            by_id
        });
        let found = by_id.binary_search_by_key(&chunk.id, id).ok()?;
        Some(by_id[found])
    }

    fn has(&self, ordinal: u32) -> bool {
        self.here.as_ref().is_none_or(|here| {
            let here = here.lock().unwrap_or_else(PoisonError::into_inner);
            here.get(ordinal as usize).copied().unwrap_or(false)
        })
    }

    fn read(&self, chunk: &ChunkRef, open: &mut Option<(u32, File)>) -> Result<Piece, Problem> {
        let ordinal = self.ordinal(chunk).filter(|ordinal| self.has(*ordinal));
        let place = ordinal.and_then(|ordinal| self.places.get(ordinal as usize));
        let &(index, offset) = place.ok_or_else(not_here)?;
        let failed = |error: io::Error| io_problem("the cache cannot be read", &error);
        let file = match open.take() {
            Some((last, file)) if last == index => file,
            _ => {
                let entry = self.manifest.tree().entries().get(index as usize);
                let path = &entry.ok_or_else(not_here)?.path;
                self.folder.read(path).map_err(failed)?.0
            }
        };
        let mut bytes = vec![0; chunk.bytes as usize];
        file.read_exact_at(&mut bytes, offset).map_err(failed)?;
        *open = Some((index, file));
        Ok(Piece::plain(bytes.into()))
    }
}

impl PieceSource for Stock {
    fn pieces(&self, chunks: &[ChunkRef]) -> Result<Vec<Piece>, Problem> {
        let mut open = None;
        let pieces = chunks.iter().map(|chunk| self.read(chunk, &mut open));
        pieces.collect()
    }

    fn suspect(&self, chunk: &ChunkRef) {
        tracing::warn!(tree = %self.manifest.id(), chunk = %chunk.id, "another machine received a chunk of the cache damaged");
    }
}

/// Returns where each chunk stands first: their ordinals follow just these places.
fn places(manifest: &Manifest) -> Vec<(u32, u64)> {
    let chunks = manifest.chunks();
    let mut places = Vec::with_capacity(chunks.len());
    for (index, entry) in (0_u32..).zip(manifest.tree().entries()) {
        if let EntryKind::File {
            chunks: of_file, ..
        } = &entry.kind
        {
            let mut offset = 0;
            for chunk in of_file {
                if chunks.get(places.len()) == Some(chunk) {
                    places.push((index, offset));
                }
                offset += u64::from(chunk.bytes);
            }
        }
    }
    places
}

fn not_here() -> Problem {
    let why = "this machine does not have it, or not any more";
    Problem::new(Code::NotFound, "The data cannot be sent", why)
}
