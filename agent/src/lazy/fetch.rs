//! The coordinator as the one who has the chunks.

use std::sync::Arc;

use bytes::Bytes;
use common::{id::TreeId, problem::Problem, tree::ChunkRef, units};
use link::trees::{ChunkSink, Fetcher, io_problem, on_disk};

use super::{
    desk::{Arriving, Source},
    store::{PinnedLazy, Store},
};
use crate::{
    transfer::{MachineTree, Origin as _, describe as description},
    uplink::Uplink,
};

/// Fetches a tree's description over `connection`, unless it is here, and pins it.
///
/// # Errors
/// The coordinator's refusal, a lost connection, or what the disk does not allow.
pub(crate) async fn describe(
    store: &Store,
    connection: quinn::Connection,
    tree: TreeId,
) -> Result<PinnedLazy, Problem> {
    let manifest = description(&connection, &MachineTree(tree)).await?;
    let store = store.clone();
    on_disk(move || {
        let what = "the dataset's description cannot be kept";
        let described = store.describe(&manifest);
        described.map_err(|error| io_problem(what, &error))
    })
    .await
}

/// Whoever is connected to at the moment; waits for the next connection where there is none.
#[derive(Debug, Clone)]
pub(crate) struct Coordinator(pub(crate) Uplink);

impl Source for Coordinator {
    async fn fetch(
        &self,
        tree: TreeId,
        chunks: Vec<(u32, ChunkRef)>,
        sink: Arc<Arriving>,
    ) -> Result<(), Problem> {
        let (ordinals, chunks): (Vec<u32>, Vec<ChunkRef>) = chunks.into_iter().unzip();
        let sink = Arc::new(Sink {
            arriving: sink,
            ordinals,
        });
        let ask = |connection| {
            let (sink, chunks) = (Arc::clone(&sink), chunks.clone());
            async move {
                let first = MachineTree(tree).chunks(tree);
                let numbers = sink.ordinals.clone();
                let fetcher = Fetcher::numbered(connection, first, chunks, numbers)?;
                let all: Vec<u32> = (0..).take(sink.ordinals.len()).collect();
                fetcher.fetch(&all, &sink, &()).await
            }
        };
        self.0.clone().ask(ask).await
    }
}

/// Passes on what comes; its own ordinals are positions in what was asked for.
#[derive(Debug)]
struct Sink {
    arriving: Arc<Arriving>,
    ordinals: Vec<u32>,
}

impl ChunkSink for Sink {
    fn has(&self, _: u32, _: &ChunkRef) -> bool {
        false
    }

    fn reserve(&self, _: units::Bytes) -> Result<(), Problem> {
        Ok(())
    }

    fn put(&self, chunks: &[(u32, Bytes)]) -> Result<(), Problem> {
        for (position, bytes) in chunks {
            if let Some(ordinal) = self.ordinals.get(*position as usize) {
                self.arriving.put(*ordinal, bytes);
            }
        }
        Ok(())
    }

    fn seal(&self) -> Result<(), Problem> {
        Ok(())
    }
}
