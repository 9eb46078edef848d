//! Trees between an org's store and a stream.

use std::sync::Arc;

use bytes::Bytes as Buffer;
use common::{code::Code, id::TreeId, problem::Problem, tree::ChunkRef, units::Bytes};
use link::{
    frames::{FrameReceiver, FrameSender},
    trees::{self, ChunkSink, ChunkSource, Manifest, Piece, on_disk},
};

use super::{incoming::Incoming, store::Store};

/// Takes a tree from a stream whose first frame was read; returns once it is durable and the receipt is sent.
/// `stored` hears of it in between.
///
/// # Errors
/// The caller refuses the stream with the problem. No tree is stored then; chunks that came are kept for a while, so
/// that another try need not send them.
pub(crate) async fn serve_upload(
    store: &Store,
    tx: &mut FrameSender,
    rx: &mut FrameReceiver,
    stored: impl Fn(TreeId) + Send + Sync + 'static,
) -> Result<TreeId, Problem> {
    let manifest = trees::receive_description(rx).await?;
    let (holding, coming) = (store.clone(), manifest.clone());
    let sink = on_disk(move || Ok(Arc::new(Upload::new(&holding, coming, stored)?))).await?;
    let received = trees::receive(&manifest, &sink, tx, rx, &()).await?;
    let (tree, bytes) = (manifest.id(), received.bytes.0);
    tracing::debug!(%tree, chunks = received.chunks, bytes, "tree stored");
    Ok(tree)
}

/// Sends a stored tree over a stream whose first frame was read; returns once the peer has it. `may` is asked before
/// each piece whether the peer may still have it.
///
/// # Errors
/// The caller refuses the stream with the problem.
pub(crate) async fn serve_download<F: Fn() -> Result<(), Problem> + Send + Sync + 'static>(
    store: &Store,
    tree: TreeId,
    may: F,
    tx: &mut FrameSender,
    rx: &mut FrameReceiver,
) -> Result<(), Problem> {
    let loading = store.clone();
    let manifest = on_disk(move || loading.load_tree(tree)).await?;
    let source = Arc::new(Download {
        store: store.clone(),
        tree,
        may,
    });
    let sent = trees::send(&manifest, &source, tx, rx, &()).await?;
    tracing::debug!(%tree, chunks = sent.chunks, bytes = sent.bytes.0, "tree sent");
    Ok(())
}

struct Upload<F> {
    incoming: Incoming,
    manifest: Manifest,
    /// By ordinal.
    lacking: Vec<bool>,
    stored: F,
}

impl<F> Upload<F> {
    fn new(store: &Store, manifest: Manifest, stored: F) -> Result<Self, Problem> {
        let incoming = store.begin();
        let lacking = incoming.lacks(manifest.chunks())?;
        Ok(Self {
            incoming,
            manifest,
            lacking,
            stored,
        })
    }
}

impl<F: Fn(TreeId) + Send + Sync + 'static> ChunkSink for Upload<F> {
    fn has(&self, ordinal: u32, _: &ChunkRef) -> bool {
        !self.lacking[ordinal as usize]
    }

    fn reserve(&self, missing: Bytes) -> Result<(), Problem> {
        self.incoming.reserve(missing)
    }

    fn put(&self, _: u32, chunk: &ChunkRef, bytes: &[u8]) -> Result<(), Problem> {
        let piece = Piece::pack(Buffer::copy_from_slice(bytes));
        self.incoming.put(&[(*chunk, piece)])
    }

    fn seal(&self) -> Result<(), Problem> {
        let tree = self.incoming.seal(&self.manifest)?;
        (self.stored)(tree);
        Ok(())
    }
}

struct Download<F> {
    store: Store,
    tree: TreeId,
    may: F,
}

impl<F: Fn() -> Result<(), Problem> + Send + Sync + 'static> ChunkSource for Download<F> {
    fn read(&self, _: u32, chunk: &ChunkRef) -> Result<Vec<u8>, Problem> {
        (self.may)()?;
        let pieces = self.store.pieces(self.tree, &[*chunk])?;
        let opened = pieces.first().and_then(|piece| piece.open(chunk).ok());
        let Some(bytes) = opened else {
            self.store.suspect(chunk)?;
            let why = format!("piece {} does not match its checksum", chunk.id);
            return Err(Problem::new(
                Code::Checksum,
                "stored data cannot be read",
                why,
            ));
        };
        Ok(bytes.into())
    }
}
