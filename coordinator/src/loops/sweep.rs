//! The files of deleted orgs and datasets go: logs, and whatever trees nothing needs. What a crash leaves is gone after
//! the next start.

use std::{sync::Arc, time::Duration};

use common::id::JobId;
use coordinator_core::{
    Actor, Body,
    query::access::{self, Leftovers},
};
use tokio_util::sync::CancellationToken;

use crate::desk::{Desk, blocking};

/// After which a sweep that failed is tried again.
const RETRY: Duration = Duration::from_secs(600);
/// Most trees of deleted datasets that are finished by one command.
const MAX_FINISHED: usize = 1000;

/// Runs until `stop`: at the start, and whenever an org or a dataset was deleted.
pub(crate) async fn run(desk: Arc<Desk>, stop: CancellationToken) {
    loop {
        if let Err(error) = sweep(&desk).await {
            tracing::error!(%error, "files of a deleted org or dataset are still there");
        }
        tokio::select! {
            () = desk.wires.sweep.notified() => {}
            () = tokio::time::sleep(RETRY) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn sweep(desk: &Desk) -> std::io::Result<()> {
    let Leftovers {
        orgs, discarded, ..
    } = doom(desk).await?;
    let (blobs, logs) = (desk.blobs.clone(), desk.logs.clone());
    let jobs: Vec<JobId> = orgs.iter().flat_map(|(_, jobs)| jobs).copied().collect();
    blocking(move || {
        jobs.into_iter().try_for_each(|job| logs.remove(job))?;
        blobs.sweep()
    })
    .await?;
    for (org, _) in orgs {
        note(desk, Body::FinishDeletion { org }).await;
        tracing::info!(%org, "nothing of a deleted org is left");
    }
    for piece in discarded.chunks(MAX_FINISHED) {
        let count = piece.len();
        note(desk, Body::FinishDiscarding(piece.to_vec())).await;
        tracing::info!(count, "nothing of deleted datasets is left");
    }
    Ok(())
}

/// Takes the names of trees away that nothing needs; nobody can name one meanwhile. What is held stays, and is left to
/// another sweep with what it belongs to.
async fn doom(desk: &Desk) -> std::io::Result<Leftovers> {
    let _unnamed = desk.blobs.unnamed().await;
    // What named a tree before is in the mailbox: it is done once this is.
    note(desk, Body::Schedule { most: 0 }).await;
    let mut leftovers = access::leftovers(&desk.engine.read());
    let (blobs, trees) = (desk.blobs.clone(), std::mem::take(&mut leftovers.trees));
    let held = blocking(move || blobs.doom(&trees)).await?;
    if !held.is_empty() {
        tracing::info!(count = held.len(), "trees that go are still held");
        leftovers.orgs.clear();
        leftovers.discarded.retain(|one| !held.contains(&one.tree));
    }
    Ok(leftovers)
}

/// Has the engine take this in. Where it has stopped, the next start finds the rows and nothing left to do.
async fn note(desk: &Desk, body: Body) {
    if let Ok(pending) = desk.engine.post(Actor::System, body).await {
        let _ = pending.done().await;
    }
}
