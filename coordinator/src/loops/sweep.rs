//! The files of deleted orgs go: logs, and whatever trees no other org has. What a crash leaves is gone after the next
//! start.

use std::{sync::Arc, time::Duration};

use common::id::{JobId, OrgId};
use coordinator_core::{Actor, Body, query::access};
use tokio_util::sync::CancellationToken;

use crate::desk::{Desk, blocking};

/// After which a sweep that failed is tried again.
const RETRY: Duration = Duration::from_secs(600);

/// Runs until `stop`: at the start, and whenever an org was deleted.
pub(crate) async fn run(desk: Arc<Desk>, stop: CancellationToken) {
    loop {
        if let Err(error) = sweep(&desk).await {
            tracing::error!(%error, "files of a deleted org are still there");
        }
        tokio::select! {
            () = desk.wires.sweep.notified() => {}
            () = tokio::time::sleep(RETRY) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn sweep(desk: &Desk) -> std::io::Result<()> {
    let gone = doom(desk).await?;
    let (blobs, logs) = (desk.blobs.clone(), desk.logs.clone());
    let jobs: Vec<JobId> = gone.iter().flat_map(|(_, jobs)| jobs).copied().collect();
    blocking(move || {
        jobs.into_iter().try_for_each(|job| logs.remove(job))?;
        blobs.sweep()
    })
    .await?;
    for (org, _) in gone {
        let done = desk
            .engine
            .post(Actor::System, Body::FinishDeletion { org });
        // Stopped, the next start finds the row and nothing left to do.
        if let Ok(pending) = done.await {
            let _ = pending.done().await;
        }
        tracing::info!(%org, "nothing of a deleted org is left");
    }
    Ok(())
}

/// Takes the names of trees away that only deleted orgs had; nobody can name one meanwhile.
async fn doom(desk: &Desk) -> std::io::Result<Vec<(OrgId, Vec<JobId>)>> {
    let _unnamed = desk.blobs.unnamed().await;
    // What named a tree before is in the mailbox: it is done once this is.
    let barrier = Body::Schedule { most: 0 };
    if let Ok(pending) = desk.engine.post(Actor::System, barrier).await {
        let _ = pending.done().await;
    }
    let deletions = access::deletions(&desk.engine.read());
    let mut gone = Vec::new();
    for (org, trees, jobs) in deletions {
        let blobs = desk.blobs.clone();
        blocking(move || blobs.doom(&trees)).await?;
        gone.push((org, jobs));
    }
    Ok(gone)
}
