//! Trees between an org's store and streams.

use std::sync::Arc;

use common::{id::TreeId, problem::Problem, tree::ChunkRef, units::Bytes};
use link::{
    frames::{FrameReceiver, FrameSender},
    pace::Pace,
    trees::{self, Manifest, Piece, PieceKeeper, PieceSource, Slots, on_disk},
};

use super::{incoming::Incoming, store::Store};

/// Most chunks of a tree beside which another one travels.
const MAX_CHUNKS_BESIDE: usize = 1 << 20;

/// Sends the description of a stored tree over a stream whose first frame was read.
///
/// # Errors
/// The caller refuses the stream with the problem.
pub(crate) async fn serve_description(
    store: &Store,
    tree: TreeId,
    tx: &mut FrameSender,
) -> Result<(), Problem> {
    trees::send_description(&load(store, tree).await?, tx).await
}

/// Sends the description of a stored tree to a peer who has named trees that it has; `beside` is the one of them that
/// is alike.
///
/// # Errors
/// The caller refuses the stream with the problem.
pub(crate) async fn serve_description_beside(
    store: &Store,
    tree: TreeId,
    beside: Option<TreeId>,
    tx: &mut FrameSender,
) -> Result<(), Problem> {
    let manifest = load(store, tree).await?;
    let beside = match beside {
        Some(beside) => load_beside(store, beside).await,
        None => None,
    };
    trees::send_description_beside(&manifest, beside.as_ref(), tx).await
}

/// Returns the description of a stored tree beside which another one travels; `None` where it cannot be read, of which
/// whoever reads it next hears, or is so large that it costs more memory than it saves bytes.
async fn load_beside(store: &Store, tree: TreeId) -> Option<Manifest> {
    let manifest = load(store, tree).await.ok();
    manifest.filter(may_be_beside)
}

fn may_be_beside(manifest: &Manifest) -> bool {
    manifest.chunks().len() <= MAX_CHUNKS_BESIDE
}

/// Sends chunks of a stored tree over a stream whose first frame was read, for as long as the peer asks. `may` is
/// asked before each batch of pieces whether the peer may still have them.
///
/// # Errors
/// The caller refuses the stream with the problem.
pub(crate) async fn serve_chunks<F: Fn() -> Result<(), Problem> + Send + Sync + 'static>(
    store: &Store,
    tree: TreeId,
    may: F,
    pace: &Pace,
    tx: &mut FrameSender,
    rx: &mut FrameReceiver,
) -> Result<(), Problem> {
    let manifest = load(store, tree).await?;
    let source = Arc::new(Download {
        store: store.clone(),
        tree,
        may,
    });
    let served = trees::serve_chunks(&manifest, &source, pace, tx, rx).await?;
    tracing::debug!(%tree, chunks = served.chunks, bytes = served.bytes.0, "pieces sent");
    Ok(())
}

async fn load(store: &Store, tree: TreeId) -> Result<Manifest, Problem> {
    let store = store.clone();
    on_disk(move || {
        let manifest = store.load_tree(tree)?;
        // Numbered here, not on a thread that serves streams.
        manifest.chunks();
        Ok(manifest)
    })
    .await
}

/// An upload on its way into a store.
pub(crate) struct Upload {
    incoming: Incoming,
    /// Whether the org may keep what was announced. What is here already costs nothing, so it counts when something is
    /// about to come.
    room: Result<(), Problem>,
    /// Hears of the tree when it is durable, before the sender does.
    stored: Box<dyn Fn(TreeId) + Send + Sync>,
}

impl Upload {
    pub(crate) fn begin(
        store: &Store,
        room: Result<(), Problem>,
        stored: impl Fn(TreeId) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            incoming: store.begin(),
            room,
            stored: Box::new(stored),
        })
    }

    /// Returns the description of a stored tree beside which this one comes, and which stays until then; `None` as for
    /// [`load_beside`].
    pub(crate) async fn beside(self: &Arc<Self>, tree: TreeId) -> Option<Manifest> {
        let upload = Arc::clone(self);
        let manifest = on_disk(move || {
            let manifest = upload.incoming.beside(tree)?;
            // Numbered here, not on a thread that serves streams.
            manifest.chunks();
            Ok(manifest)
        });
        manifest.await.ok().filter(may_be_beside)
    }
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload").finish_non_exhaustive()
    }
}

impl PieceKeeper for Upload {
    fn lacks(&self, chunks: &[ChunkRef]) -> Result<Vec<bool>, Problem> {
        self.incoming.lacks(chunks)
    }

    fn reserve(&self, missing: Bytes) -> Result<(), Problem> {
        if missing > Bytes::ZERO {
            self.room.clone()?;
        }
        self.incoming.reserve(missing)
    }

    fn put(&self, pieces: &[(ChunkRef, Piece)]) -> Result<(), Problem> {
        self.incoming.put(pieces)
    }

    fn seal(&self, manifest: &Manifest) -> Result<(), Problem> {
        let tree = self.incoming.seal(manifest)?;
        (self.stored)(tree);
        Ok(())
    }

    fn slots(&self) -> Slots {
        self.incoming.slots()
    }
}

struct Download<F> {
    store: Store,
    tree: TreeId,
    may: F,
}

impl<F: Fn() -> Result<(), Problem> + Send + Sync + 'static> PieceSource for Download<F> {
    fn pieces(&self, chunks: &[ChunkRef]) -> Result<Vec<Piece>, Problem> {
        (self.may)()?;
        self.store.pieces(self.tree, chunks)
    }

    fn suspect(&self, chunk: &ChunkRef) {
        match self.store.suspect(chunk) {
            Ok(true) => {}
            Ok(false) => {
                tracing::debug!(chunk = %chunk.id, "a piece that came damaged is whole here")
            }
            Err(problem) => {
                tracing::error!(chunk = %chunk.id, %problem, "a piece cannot be checked")
            }
        }
    }

    fn slots(&self) -> Slots {
        self.store.slots()
    }
}
