//! What orgs have stored goes to where they want it: a pack at a time, as soon as that is decided and again after a
//! while where it cannot.

use std::{sync::Arc, time::Duration};

use common::{id::OrgId, org::storage::StoragePlace};
use coordinator_core::query::storage;
use tokio_util::sync::CancellationToken;

use crate::{
    blobs::Moved,
    desk::{Desk, blocking},
};

/// Time between two looks whether something is not where it is to be, and after which a move that was held up goes on.
const LOOK: Duration = Duration::from_secs(300);

/// Runs until `stop`.
pub(crate) async fn run(desk: Arc<Desk>, stop: CancellationToken) {
    loop {
        while round(&desk, &stop).await {}
        tokio::select! {
            () = desk.wires.moves.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Takes a step for each org of which something is elsewhere; returns whether there may be more to do now.
async fn round(desk: &Desk, stop: &CancellationToken) -> bool {
    let mut more = false;
    for (org, place) in elsewhere(desk).await {
        if stop.is_cancelled() {
            return false;
        }
        more |= step(desk, org, place).await;
    }
    more
}

/// Returns the orgs that have, or want, bytes in a bucket.
async fn elsewhere(desk: &Desk) -> Vec<(OrgId, StoragePlace)> {
    let places: Vec<_> = storage::places(&desk.engine.read())
        .map(|(org, place)| (org, place.clone()))
        .collect();
    let blobs = desk.blobs.clone();
    blocking(move || {
        let mut places = places;
        places.retain(|(org, place)| !place.is_local() || blobs.has_bucket(*org));
        places
    })
    .await
}

async fn step(desk: &Desk, org: OrgId, place: StoragePlace) -> bool {
    let store = match desk.store(org).await {
        Ok(store) => store,
        Err(problem) => {
            tracing::error!(%org, %problem, "an org's data is not moved");
            return false;
        }
    };
    match blocking(move || store.go_on(&place)).await {
        Ok(Moved::On(bytes)) => {
            // What goes to a bucket goes over the same line as what goes to people and machines.
            desk.pace.pass(bytes).await;
            true
        }
        Ok(Moved::Done) => false,
        Err(problem) => {
            tracing::warn!(%org, %problem, "an org's data is not moved for now");
            false
        }
    }
}
