//! What is to happen at a moment that the book knows: tasks that are tried again, machines that were set aside.

use std::{sync::Arc, time::Duration};

use coordinator_core::{Actor, Body};
use tokio_util::sync::CancellationToken;

use crate::desk::Desk;

/// Longest time between two looks: the most that something waits which came up meanwhile.
const PERIOD: Duration = Duration::from_secs(1);
/// Shortest time between two looks.
const LEAST: Duration = Duration::from_millis(10);
/// Most tasks that one commit wakes.
const MOST: u32 = 1000;

/// Runs until `stop`: looks at the next moment, and once a period.
pub(crate) async fn run(desk: Arc<Desk>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause(&desk)) => {}
            () = stop.cancelled() => return,
        }
        if pause(&desk) > LEAST {
            continue;
        }
        let body = Body::Wake { most: MOST };
        let Ok(pending) = desk.engine.post(Actor::System, body).await else {
            return;
        };
        match pending.done().await {
            Ok(events) => tracing::debug!(count = events.len(), "what was due is awake"),
            Err(error) => tracing::warn!(%error, "what was due was not woken"),
        }
    }
}

/// Returns how long nothing is due.
fn pause(desk: &Desk) -> Duration {
    let next = desk.engine.read().next_waking();
    let wait = next.map_or(PERIOD, |moment| moment.since(desk.clock.now()));
    wait.clamp(LEAST, PERIOD)
}
