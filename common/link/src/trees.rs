//! How a tree travels, whoever sends it; the messages are in [`common::wire::data`].
//!
//! Down: [`send_description`] and [`receive_description`], then [`serve_chunks`] for a [`PieceSource`] and a
//! [`Fetcher`] for a [`ChunkSink`]. Up: [`send`] for whoever cuts files into chunks, a [`Taking`] for a
//! [`PieceKeeper`]. This is the one implementation of both sides. It knows neither files nor folders: the
//! coordinator's store, the agent's cache and the command line's folders are sources, sinks and keepers. Nothing is
//! refused from here: whoever opened or accepted a stream tells the peer about a returned problem.

mod describe;
mod disk;
mod fetch;
pub mod manifest;
mod numbers;
pub mod piece;
mod pieces;
mod send;
mod serve;
mod take;

pub use self::{
    describe::{
        receive_description, receive_description_beside, send_description, send_description_beside,
    },
    disk::{Slots, on_disk},
    fetch::{Asks, Fetcher, Received},
    manifest::Manifest,
    piece::Piece,
    pieces::{pieces_frame, read_pieces},
    send::{CUT_BYTES, CUTS_AHEAD, Cut, Lane, Sent, agree, send},
    serve::{Served, serve_chunks},
    take::Taking,
};

use std::{io, time::Duration};

use common::{code::Code, id::ChunkId, problem::Problem, tree::ChunkRef, units::Bytes};

/// What is found by a chunk. The hash is quick and no defence against somebody who picks ids as he likes: it is for those
/// of chunks that came, or that one's own coordinator names.
pub type ChunkMap<V> = hashbrown::HashMap<ChunkId, V>;

/// Most streams over which one transfer's pieces travel at once: one that waits for a lost packet holds up a quarter.
const MAX_STREAMS: usize = 4;
/// Pieces are read, or checked and written, so many bytes at a time: enough that a tree of small files does not pay
/// for a thread's wake-up per file.
const BATCH_BYTES: u64 = 1 << 20;
/// A peer of whom nothing comes for so long, while something should, is given up. A full frame passes in a quarter
/// of it at 1 Mbit/s.
const STALL: Duration = Duration::from_secs(120);

/// Whoever has the pieces of a tree. Called on threads that may block.
pub trait PieceSource: Send + Sync + 'static {
    /// Returns the chunks in the form in which they are kept. Nobody has checked them: who receives them does.
    ///
    /// # Errors
    /// They cannot be read, or may not be had any more.
    fn pieces(&self, chunks: &[ChunkRef]) -> Result<Vec<Piece>, Problem>;

    /// Hears that somebody received this chunk damaged.
    fn suspect(&self, chunk: &ChunkRef);

    /// Returns where it is asked: the slots of the disk, unless it may wait for something else.
    fn slots(&self) -> Slots {
        Slots::of_disk()
    }
}

/// Whoever wants the chunks of a tree. Called on threads that may block.
pub trait ChunkSink: Send + Sync + 'static {
    /// Returns whether the chunk need not come.
    fn has(&self, ordinal: u32, chunk: &ChunkRef) -> bool;

    /// Hears how much is about to come, before it is asked for.
    ///
    /// # Errors
    /// There is no room for it.
    fn reserve(&self, missing: Bytes) -> Result<(), Problem>;

    /// Takes chunks' own bytes, which were checked against their ids, by ordinal. From several threads at once.
    ///
    /// # Errors
    /// They cannot be kept.
    fn put(&self, chunks: &[(u32, bytes::Bytes)]) -> Result<(), Problem>;

    /// Makes the whole tree safe.
    ///
    /// # Errors
    /// The tree could not be made safe; nothing of it may be visible as whole.
    fn seal(&self) -> Result<(), Problem>;
}

/// Whoever takes uploads. Called on threads that may block.
pub trait PieceKeeper: Send + Sync + 'static {
    /// Returns for each chunk whether it has to come. What need not stays until the upload ends.
    ///
    /// # Errors
    /// It cannot be told.
    fn lacks(&self, chunks: &[ChunkRef]) -> Result<Vec<bool>, Problem>;

    /// Hears how much is about to come, before it is asked for.
    ///
    /// # Errors
    /// There is no room for it.
    fn reserve(&self, missing: Bytes) -> Result<(), Problem>;

    /// Takes pieces, which were opened and checked. From several threads at once.
    ///
    /// # Errors
    /// They cannot be kept.
    fn put(&self, pieces: &[(ChunkRef, Piece)]) -> Result<(), Problem>;

    /// Makes the whole tree safe; the receipt goes out after it.
    ///
    /// # Errors
    /// The tree could not be made safe; nothing of it may be visible as whole.
    fn seal(&self, manifest: &Manifest) -> Result<(), Problem>;

    /// Returns where it is asked: the slots of the disk, unless it may wait for something else.
    fn slots(&self) -> Slots {
        Slots::of_disk()
    }
}

/// Whoever watches a tree travel. Called often; must not block.
pub trait Progress: Send + Sync {
    /// Hears once what travels: the tree's size and how much of it is lacking, or may be.
    fn begin(&self, tree: Bytes, missing: Bytes);
    /// Hears that this much more has travelled.
    fn advance(&self, bytes: Bytes);
    /// Hears that this much of what may be lacking need not travel.
    fn skip(&self, bytes: Bytes);
}

/// Nobody watches.
impl Progress for () {
    fn begin(&self, _: Bytes, _: Bytes) {}
    fn advance(&self, _: Bytes) {}
    fn skip(&self, _: Bytes) {}
}

/// Returns what a person is told when a file operation failed.
pub fn io_problem(what: impl Into<String>, cause: &io::Error) -> Problem {
    let code = match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::DiskFull,
        _ => Code::Io,
    };
    Problem::new(code, what, cause.to_string())
}

fn protocol(why: impl Into<String>) -> Problem {
    Problem::new(Code::Protocol, "the transfer was broken off", why)
}

fn mismatch(ordinal: u32) -> Problem {
    let why = format!("piece {ordinal} does not match its checksum");
    Problem::new(Code::Checksum, "what arrived is damaged", why)
}

/// Waits for something of the peer's, but not for ever.
async fn unless_stalled<T, E: Into<Problem>>(
    coming: impl Future<Output = Result<T, E>>,
) -> Result<T, Problem> {
    match tokio::time::timeout(STALL, coming).await {
        Ok(came) => came.map_err(Into::into),
        Err(_) => Err(stalled()),
    }
}

fn stalled() -> Problem {
    let why = format!("nothing came from the other side for {} s", STALL.as_secs());
    protocol(why).help("Try again: what has arrived is not sent twice.")
}

fn size(chunks: &[ChunkRef]) -> u64 {
    chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum()
}

#[cfg(test)]
mod tests;
