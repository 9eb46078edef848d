//! What orgs have stored goes to where they want it: a pack at a time, as soon as that is decided and again after a
//! while where it cannot.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use common::id::OrgId;
use coordinator_core::query::storage;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    blobs::Moved,
    desk::{Desk, blocking},
};

/// Time between two looks whether something is not where it is to be, and after which a move that was held up goes on.
const LOOK: Duration = Duration::from_secs(300);

/// Most orgs whose data moves at once: one whose bucket does not answer holds up no other.
const MAX_AT_ONCE: usize = 64;

/// Runs until `stop`.
pub(crate) async fn run(desk: Arc<Desk>, stop: CancellationToken) {
    let (mut waiting, mut moving) = (BTreeSet::new(), BTreeSet::new());
    let mut tasks = JoinSet::new();
    waiting.extend(elsewhere(&desk).await);
    loop {
        for org in &waiting - &moving {
            if moving.len() < MAX_AT_ONCE && waiting.remove(&org) && moving.insert(org) {
                tasks.spawn(settle(Arc::clone(&desk), org, stop.clone()));
            }
        }
        tokio::select! {
            () = desk.wires.moves.notified() => waiting.extend(elsewhere(&desk).await),
            () = tokio::time::sleep(LOOK) => waiting.extend(elsewhere(&desk).await),
            Some(ended) = tasks.join_next() => match ended {
                Ok(org) => drop(moving.remove(&org)),
                Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
            },
            () = stop.cancelled() => break,
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// Takes steps until everything of the org is where it is to be, or cannot go there now.
async fn settle(desk: Arc<Desk>, org: OrgId, stop: CancellationToken) -> OrgId {
    while !stop.is_cancelled() && step(&desk, org).await {}
    org
}

/// Returns the orgs that have, or want, bytes in a bucket.
async fn elsewhere(desk: &Desk) -> Vec<OrgId> {
    let places: Vec<_> = storage::places(&desk.engine.read())
        .map(|(org, place)| (org, place.is_local()))
        .collect();
    let blobs = desk.blobs.clone();
    blocking(move || {
        let remote = places
            .into_iter()
            .filter(|(org, local)| !local || blobs.has_bucket(*org));
        remote.map(|(org, _)| org).collect()
    })
    .await
}

async fn step(desk: &Desk, org: OrgId) -> bool {
    let place = storage::place(&desk.engine.read(), org);
    let store = match desk.store(org).await {
        Ok(store) => store,
        Err(problem) => {
            tracing::error!(%org, %problem, "an org's data is not moved");
            return false;
        }
    };
    match store.apart(move |store| store.go_on(&place)).await {
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
