//! Pieces for whoever fetches a tree: many at once, neighbours in one go.

pub(super) mod places;

use std::io;

use bytes::Bytes as Buffer;
use common::{
    code::Code,
    id::{ChunkId, TreeId},
    problem::Problem,
    tree::ChunkRef,
};
use link::trees::Piece;

use super::{
    depot::AT_ONCE,
    error::BlobError,
    index::{Place, View},
    moving::is_lost,
    packs::{Packs, Run},
    record::{HEADER_BYTES, Header},
    store::{Store, UNREADABLE},
};

/// Pieces that lie this near to each other are read in one go, with what is between them.
const MAX_GAP_BYTES: u32 = 64 << 10;
/// As much for a bucket, where a request costs more than some bytes.
const MAX_REMOTE_GAP_BYTES: u32 = 512 << 10;
/// Most bytes that are read in one go.
const MAX_RUN_BYTES: u32 = 4 << 20;
/// How often pieces are looked up again that were moved while somebody read them.
const LOOKS: usize = 3;

impl Store {
    /// Returns chunks of a tree, in this order, in the form in which they are stored. That they are the right records
    /// was checked, their content was not: that is the receiver's part, see [`Store::suspect`]. Reads neighbours in
    /// one go; memory is the caller's, who asks for as much as it may hold.
    ///
    /// # Errors
    /// `not_found` if the tree has gone. `checksum_mismatch` if a piece is missing or is not what it was.
    pub(crate) fn pieces(&self, tree: TreeId, chunks: &[ChunkRef]) -> Result<Vec<Piece>, Problem> {
        match self.try_pieces(chunks, places::derived) {
            Ok(pieces) => return Ok(pieces),
            Err(Unread::Failed(error)) => return Err(error.problem(UNREADABLE)),
            // Not in the row that it looked like, or what the index says too.
            Err(_) => {}
        }
        let mut looks = 0;
        loop {
            looks += 1;
            match self.try_pieces(chunks, places::looked_up) {
                Ok(pieces) => return Ok(pieces),
                // Its pack was cleared up meanwhile: the index knows by now where it is.
                Err(Unread::Moved) if looks < LOOKS => {}
                Err(Unread::Failed(error)) => return Err(error.problem(UNREADABLE)),
                Err(unread) => {
                    if self
                        .0
                        .view()
                        .and_then(|view| view.tree(tree))
                        .is_ok_and(|row| row.is_none())
                    {
                        let why = "it was deleted meanwhile";
                        return Err(Problem::new(Code::NotFound, UNREADABLE, why));
                    }
                    let why = match unread {
                        Unread::Missing(id) => format!("piece {id} is missing"),
                        Unread::Damaged(chunk) => {
                            self.suspect(&chunk)?;
                            format!("piece {} does not match its checksum", chunk.id)
                        }
                        _ => "pieces are not where they should be".to_owned(),
                    };
                    tracing::error!(org = %self.0.org, %tree, why, "a stored tree is not whole");
                    return Err(Problem::new(Code::Checksum, UNREADABLE, why));
                }
            }
        }
    }

    fn try_pieces(
        &self,
        chunks: &[ChunkRef],
        find: impl FnOnce(&View, &Packs, &[ChunkRef]) -> Result<Vec<Place>, Unread>,
    ) -> Result<Vec<Piece>, Unread> {
        let places = find(&self.0.view()?, &self.0.packs, chunks)?.into_iter();
        let mut places: Vec<(Place, usize)> = places.zip(0..).collect();
        places.sort_unstable_by_key(|(place, at)| (place.pack, place.offset, *at));
        let mut pieces = vec![Piece::plain(Buffer::new()); chunks.len()];
        let runs: Vec<_> = runs(&places, &self.0.packs).collect();
        for runs in runs.chunks(AT_ONCE) {
            let spans: Vec<Run> = runs.iter().map(|run| span(run)).collect();
            let read = self.0.packs.read_runs(&spans);
            let read = read.map_err(|(at, error)| match error.kind() {
                io::ErrorKind::NotFound => Unread::Moved,
                io::ErrorKind::UnexpectedEof => Unread::Damaged(chunks[runs[at][0].1]),
                _ => Unread::Failed(error.into()),
            })?;
            for (run, bytes) in runs.iter().zip(read) {
                // What is mostly gaps is not kept in memory for the sake of a few pieces.
                let used: usize = run
                    .iter()
                    .map(|(place, _)| place.record_bytes() as usize)
                    .sum();
                let sparse = used < bytes.len() / 2;
                let first = run[0].0;
                for (place, at) in *run {
                    let start = (place.offset - first.offset) as usize;
                    let mut record = bytes.slice(start..start + place.record_bytes() as usize);
                    if sparse {
                        record = Buffer::copy_from_slice(&record);
                    }
                    let piece = open_record(&chunks[*at], place, &record);
                    pieces[*at] = piece.ok_or(Unread::Damaged(chunks[*at]))?;
                }
            }
        }
        Ok(pieces)
    }

    /// Hears from a receiver that a chunk is damaged. Looks, and where that is so sets it aside, so that the next upload
    /// sends it anew. Returns whether it is damaged.
    ///
    /// # Errors
    /// It cannot be read or noted.
    pub(crate) fn suspect(&self, chunk: &ChunkRef) -> Result<bool, Problem> {
        let failed = |error: BlobError| error.problem(UNREADABLE);
        let row = self.0.view().and_then(|view| view.chunk(chunk.id));
        let Some(row) = row.map_err(failed)? else {
            return Ok(true);
        };
        let Some(place) = row.place else {
            return Ok(true);
        };
        let record = self.read_record(chunk, &place).map_err(failed)?;
        let whole = record.is_some_and(|piece| piece.open(chunk).is_ok());
        if !whole {
            self.set_aside(&[(chunk.id, place)]).map_err(failed)?;
        }
        Ok(!whole)
    }

    /// Returns the piece at a place, where there is a record of this chunk.
    pub(super) fn read_record(
        &self,
        chunk: &ChunkRef,
        place: &Place,
    ) -> Result<Option<Piece>, BlobError> {
        let length = place.record_bytes() as usize;
        match self.0.packs.read(place.pack, place.offset, length) {
            Ok(record) => Ok(open_record(chunk, place, &record)),
            Err(error) if is_lost(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Notes that these pieces are damaged, where they still are what is stored.
    pub(super) fn set_aside(&self, pieces: &[(ChunkId, Place)]) -> Result<(), BlobError> {
        for (id, place) in pieces {
            tracing::error!(org = %self.0.org, chunk = %id, pack = place.pack, "a stored chunk is damaged");
        }
        self.0.change(|change| {
            pieces
                .iter()
                .try_for_each(|(id, place)| change.relocate(*id, *place, None))
        })
    }
}

/// Why pieces were not read.
#[derive(Debug)]
pub(super) enum Unread {
    Missing(ChunkId),
    Damaged(ChunkRef),
    /// The file was deleted since the look into the index.
    Moved,
    Failed(BlobError),
}

impl<E: Into<BlobError>> From<E> for Unread {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Returns sorted places in the runs in which they are read.
fn runs<'a>(
    places: &'a [(Place, usize)],
    packs: &Packs,
) -> impl Iterator<Item = &'a [(Place, usize)]> {
    let mut begin = places.first().map_or(0, |(place, _)| place.offset);
    places.chunk_by(move |(a, _), (b, _)| {
        let gap = b.offset.saturating_sub(a.end());
        let near = a.pack == b.pack
            && (gap <= MAX_GAP_BYTES || (gap <= MAX_REMOTE_GAP_BYTES && packs.is_away(a.pack)))
            && b.end().saturating_sub(begin) <= MAX_RUN_BYTES;
        if !near {
            begin = b.offset;
        }
        near
    })
}

/// Returns the part of a pack that has these places, which are sorted.
fn span(run: &[(Place, usize)]) -> Run {
    let (first, last) = (run[0].0, run[run.len() - 1].0);
    Run {
        pack: first.pack,
        offset: first.offset,
        length: last.end().saturating_sub(first.offset),
    }
}

/// Returns the piece of a record, if that is the chunk's.
pub(super) fn open_record(chunk: &ChunkRef, place: &Place, record: &Buffer) -> Option<Piece> {
    let header = Header::decode(record).ok()?;
    let same = header.chunk == *chunk && header.record_bytes() == place.record_bytes();
    let piece = record.slice_ref(record.get(HEADER_BYTES as usize..)?);
    same.then(|| Piece::from_parts(header.encoding, piece))
}
