//! How a tree travels over one stream, whoever sends it: description, what is lacking, chunks, receipt.
//!
//! The messages are in [`common::wire::data`]; this is the one implementation of both sides of them. It knows
//! neither files nor folders: a [`ChunkSource`] has chunks and a [`ChunkSink`] takes them. The coordinator's
//! store, the agent's cache and the command line's folders are sources and sinks. Nothing is refused from
//! here: whoever opened or accepted the stream tells the peer about a returned problem.

mod disk;
pub mod manifest;
pub mod piece;
mod receive;
mod send;

pub use self::{
    disk::on_disk,
    manifest::Manifest,
    piece::Piece,
    receive::{Received, receive, receive_description},
    send::{Sent, send},
};

use std::io;

use common::{code::Code, problem::Problem, tree::ChunkRef, units::Bytes};

/// Bytes of chunks that are read, or checked and written, as one piece of work: enough that a tree of small
/// files does not pay for a thread's wake-up per file. Two pieces per stream are in memory at most.
const BATCH_BYTES: u64 = 1 << 20;

/// Whoever has the chunks of a tree. Called on threads that may block, never twice at once for one stream.
pub trait ChunkSource: Send + Sync + 'static {
    /// Returns the chunk's bytes, which the source has checked against its id.
    ///
    /// # Errors
    /// The bytes cannot be read or are not the chunk any more.
    fn read(&self, ordinal: u32, chunk: &ChunkRef) -> Result<Vec<u8>, Problem>;
}

/// Whoever wants the chunks of a tree. Called on threads that may block, never twice at once for one stream.
pub trait ChunkSink: Send + Sync + 'static {
    /// Returns whether the chunk need not come.
    fn has(&self, ordinal: u32, chunk: &ChunkRef) -> bool;

    /// Hears how much is about to come, before it is asked for.
    ///
    /// # Errors
    /// There is no room for it.
    fn reserve(&self, missing: Bytes) -> Result<(), Problem>;

    /// Takes a chunk's bytes, which were checked against its id.
    ///
    /// # Errors
    /// They cannot be kept.
    fn put(&self, ordinal: u32, chunk: &ChunkRef, bytes: &[u8]) -> Result<(), Problem>;

    /// Makes the whole tree safe; the receipt goes out after it.
    ///
    /// # Errors
    /// The tree could not be made safe; nothing of it may be visible as whole.
    fn seal(&self) -> Result<(), Problem>;
}

/// Whoever watches a tree travel. Called often; must not block.
pub trait Progress: Send + Sync {
    /// Hears once what travels: the tree's size and how much of it is lacking.
    fn begin(&self, tree: Bytes, missing: Bytes);
    /// Hears that this much more has travelled.
    fn advance(&self, bytes: Bytes);
}

/// Nobody watches.
impl Progress for () {
    fn begin(&self, _: Bytes, _: Bytes) {}
    fn advance(&self, _: Bytes) {}
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

#[cfg(test)]
mod tests;
