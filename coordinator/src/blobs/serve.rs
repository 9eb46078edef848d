//! Trees between the store and a stream.

use std::sync::Arc;

use common::{code::Code, id::TreeId, problem::Problem, tree::ChunkRef, units::Bytes};
use link::{
    frames::{FrameReceiver, FrameSender},
    trees::{self, ChunkSink, ChunkSource, Manifest, io_problem, on_disk},
};

use super::{Store, holds::Hold};

/// Kept free beside what is stored, so that the book, on the same disk, can still be written.
const KEEP_FREE: Bytes = Bytes::mib(64);
/// No more than this part of a small disk is kept free.
const KEEP_FREE_PART: u64 = 20;

/// Takes a tree from a stream whose first frame was read; returns once it is durable and the receipt is sent.
/// `stored` hears of it in between.
///
/// # Errors
/// The caller refuses the stream with the problem. No tree is stored then; chunks that came are kept, so that
/// another try need not send them.
pub async fn serve_upload(
    store: &Store,
    tx: &mut FrameSender,
    rx: &mut FrameReceiver,
    stored: impl Fn(TreeId) + Send + Sync + 'static,
) -> Result<TreeId, Problem> {
    let manifest = trees::receive_description(rx).await?;
    let (holding, coming) = (store.clone(), manifest.clone());
    let sink = on_disk(move || Ok(Arc::new(Upload::new(holding, coming, stored)))).await?;
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
pub async fn serve_download<F: Fn() -> Result<(), Problem> + Send + Sync + 'static>(
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

pub(super) struct Upload<F> {
    store: Store,
    manifest: Manifest,
    stored: F,
    hold: Hold,
}

impl<F> Upload<F> {
    pub(super) fn new(store: Store, manifest: Manifest, stored: F) -> Self {
        let hold = store.hold(&manifest);
        Self {
            store,
            manifest,
            stored,
            hold,
        }
    }
}

impl<F: Fn(TreeId) + Send + Sync + 'static> ChunkSink for Upload<F> {
    fn has(&self, _: u32, chunk: &ChunkRef) -> bool {
        self.store.has(chunk)
    }

    fn reserve(&self, missing: Bytes) -> Result<(), Problem> {
        if missing == Bytes::ZERO {
            return Ok(());
        }
        let disk = rustix::fs::fstatvfs(&self.store.0.folder)
            .map_err(|errno| io_problem("the data was not stored", &errno.into()))?;
        let keep = KEEP_FREE
            .0
            .min(disk.f_blocks * disk.f_frsize / KEEP_FREE_PART);
        let free = Bytes((disk.f_bavail * disk.f_frsize).saturating_sub(keep));
        if missing > free {
            let why = format!("{missing} are to be stored, but the coordinator has {free} free");
            let help = "Ask who runs the coordinator to free some space, then try again.";
            return Err(Problem::new(Code::DiskFull, "the data was not stored", why).help(help));
        }
        Ok(())
    }

    fn put(&self, _: u32, chunk: &ChunkRef, bytes: &[u8]) -> Result<(), Problem> {
        self.store.put(chunk, bytes)
    }

    fn seal(&self) -> Result<(), Problem> {
        let tree = self.store.save_tree(&self.manifest)?;
        self.hold.arrived();
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
        self.store.read(self.tree, chunk)
    }
}
