//! What was kept for long enough goes, a few rows in each commit, so that nobody waits for it: invitations that ended long
//! ago, deleted datasets, and what tasks left.

use std::{sync::Arc, time::Duration};

use coordinator_core::{Actor, Body};
use tokio_util::sync::CancellationToken;

use crate::desk::Desk;

/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(3600);
/// Most rows in one commit.
const MOST: u32 = 1000;

/// Runs until `stop`: at the start, and every hour.
pub(crate) async fn run(desk: Arc<Desk>, stop: CancellationToken) {
    loop {
        look(
            &desk,
            &stop,
            "old invitations",
            Body::ForgetInvitations { most: MOST },
        )
        .await;
        look(&desk, &stop, "old data", Body::ExpireData { most: MOST }).await;
        look(
            &desk,
            &stop,
            "data that machines were to have",
            Body::ExpireWarm,
        )
        .await;
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Every step takes rows away, so that the last one finds none. One that has begun is finished.
async fn look(desk: &Desk, stop: &CancellationToken, what: &str, body: Body) {
    loop {
        let Ok(pending) = desk.engine.post(Actor::System, body.clone()).await else {
            return;
        };
        match pending.done().await {
            Ok(events) if events.is_empty() => return,
            Ok(events) => tracing::info!(count = events.len(), "{what} are forgotten"),
            Err(error) => return tracing::warn!(%error, "{what} are not forgotten"),
        }
        if stop.is_cancelled() {
            return;
        }
    }
}
