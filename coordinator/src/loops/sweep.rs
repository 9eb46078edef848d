//! The files of deleted orgs and datasets go: logs, and whatever trees nothing needs. What a crash leaves is gone after
//! the next start. Once a day all stores are looked through for what nobody ever named.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use common::{
    id::{JobId, OrgId, TreeId},
    problem::Problem,
};
use coordinator_core::{
    Actor, Body,
    query::access::{self, Leftovers},
};
use link::trees::io_problem;
use tokio_util::sync::CancellationToken;

use crate::{
    blobs::{Collected, KEEP_UNUSED, Store},
    desk::{Desk, blocking},
};

/// After which a sweep that failed is tried again.
const RETRY: Duration = Duration::from_secs(600);
/// How often stores are swept of which nothing was deleted.
const ROUND: Duration = Duration::from_secs(24 * 3600);
/// Most trees of deleted datasets that are finished by one command.
const MAX_FINISHED: usize = 1000;

const NOT_SWEPT: &str = "files that nothing needs are still there";

/// Runs until `stop`: at the start, and whenever an org or a dataset was deleted.
pub(crate) async fn run(desk: Arc<Desk>, stop: CancellationToken) {
    let mut rounded: Option<Instant> = None;
    loop {
        let due = rounded.is_none_or(|at| at.elapsed() >= ROUND);
        match sweep(&desk, due).await {
            Ok(()) if due => rounded = Some(Instant::now()),
            Ok(()) => {}
            Err(problem) => {
                tracing::error!(%problem, "files of a deleted org or dataset are still there");
            }
        }
        tokio::select! {
            () = desk.wires.sweep.notified() => {}
            () = tokio::time::sleep(RETRY) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Takes away what was deleted; in a `round` also what nobody named, of all orgs.
async fn sweep(desk: &Desk, round: bool) -> Result<(), Problem> {
    let (mut leftovers, touched) = doom(desk, round).await?;
    let mut failed = None;
    for org in touched {
        if let Err(problem) = collect(desk, org).await {
            tracing::error!(%org, %problem, "an org's store cannot be swept");
            leftovers.discarded.retain(|one| one.org != org);
            failed = Some(problem);
        }
    }
    let (blobs, logs) = (desk.blobs.clone(), desk.logs.clone());
    let going: Vec<(OrgId, Vec<JobId>)> = leftovers.orgs.clone();
    blocking(move || {
        blobs.tidy();
        going.into_iter().try_for_each(|(org, jobs)| {
            jobs.into_iter().try_for_each(|job| logs.remove(job))?;
            blobs.remove(org)
        })
    })
    .await
    .map_err(|error| io_problem(NOT_SWEPT, &error))?;
    for (org, _) in leftovers.orgs {
        note(desk, Body::FinishDeletion { org }).await;
        tracing::info!(%org, "nothing of a deleted org is left");
    }
    for piece in leftovers.discarded.chunks(MAX_FINISHED) {
        let count = piece.len();
        note(desk, Body::FinishDiscarding(piece.to_vec())).await;
        tracing::info!(count, "nothing of deleted datasets is left");
    }
    failed.map_or(Ok(()), Err)
}

/// Takes the names of trees away that nothing needs; nobody can name one meanwhile. What is held stays, and is left to
/// another sweep with what it belongs to. Returns with it the orgs whose stores have something to give back.
async fn doom(desk: &Desk, round: bool) -> Result<(Leftovers, Vec<OrgId>), Problem> {
    let _unnamed = desk.blobs.unnamed().await;
    // What named a tree before is in the mailbox: it is done once this is.
    note(desk, Body::Schedule { most: 0 }).await;
    let mut leftovers = access::leftovers(&desk.engine.read());
    let mut going: BTreeMap<OrgId, Vec<TreeId>> = BTreeMap::new();
    for (org, tree) in std::mem::take(&mut leftovers.trees) {
        going.entry(org).or_default().push(tree);
    }
    if round {
        for (org, trees) in unnamed(desk).await? {
            going.entry(org).or_default().extend(trees);
        }
    }
    let mut touched = Vec::with_capacity(going.len());
    for (org, trees) in going {
        let store = desk.store(org).await?;
        let doomed = blocking(move || store.doom(&trees)).await;
        let held = doomed.map_err(|error| error.problem(NOT_SWEPT))?;
        if !held.is_empty() {
            tracing::info!(%org, count = held.len(), "trees that go are still held");
            leftovers
                .discarded
                .retain(|one| one.org != org || !held.contains(&one.tree));
        }
        touched.push(org);
    }
    Ok((leftovers, touched))
}

/// Returns of every org that has a store the trees which were sent long ago and which nothing names; takes away what
/// is there of orgs that nobody knows.
async fn unnamed(desk: &Desk) -> Result<Vec<(OrgId, Vec<TreeId>)>, Problem> {
    let blobs = desk.blobs.clone();
    let orgs = blocking(move || blobs.orgs()).await;
    let mut found = Vec::new();
    for org in orgs.map_err(|error| io_problem(NOT_SWEPT, &error))? {
        if !access::knows_org(&desk.engine.read(), org) {
            let blobs = desk.blobs.clone();
            let removed = blocking(move || blobs.remove(org)).await;
            removed.map_err(|error| io_problem(NOT_SWEPT, &error))?;
            continue;
        }
        let store: Store = desk.store(org).await?;
        let old = blocking(move || store.trees_older_than(KEEP_UNUSED)).await;
        let mut old = old.map_err(|error| error.problem(NOT_SWEPT))?;
        let state = desk.engine.read();
        old.retain(|tree| !access::is_named(&state, org, *tree));
        found.push((org, old));
    }
    Ok(found)
}

async fn collect(desk: &Desk, org: OrgId) -> Result<(), Problem> {
    let store = desk.store(org).await?;
    let collected = blocking(move || store.collect()).await;
    let collected = collected.map_err(|error| error.problem(NOT_SWEPT))?;
    if collected != Collected::default() {
        let Collected {
            trees,
            pieces,
            bytes,
        } = collected;
        tracing::info!(%org, trees, pieces, bytes, "an org's store was swept");
    }
    Ok(())
}

/// Has the engine take this in. Where it has stopped, the next start finds the rows and nothing left to do.
async fn note(desk: &Desk, body: Body) {
    if let Ok(pending) = desk.engine.post(Actor::System, body).await {
        let _ = pending.done().await;
    }
}
