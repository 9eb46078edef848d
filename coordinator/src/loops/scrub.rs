//! Once a week everything that is stored is read and compared with its checksums: slowly, so that nobody notices.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use common::{api::storage::Scrub, id::OrgId, problem::Problem, time::Timestamp};
use coordinator_core::query::access;
use link::trees::io_problem;
use tokio_util::sync::CancellationToken;

use crate::{
    blobs::Scrubbed,
    desk::{Desk, blocking},
};

/// Time between the end of a look and the beginning of the next.
const PERIOD: Duration = Duration::from_secs(7 * 24 * 3600);
/// Time between two looks whether one is due.
const LOOK: Duration = Duration::from_secs(3600);
/// A coordinator that has just begun has better things to do.
const FIRST: Duration = Duration::from_secs(600);
/// So much is read in a second, of all orgs together.
const BYTES_PER_SEC: u64 = 32 << 20;

const NOT_READ: &str = "stored data cannot be looked through";

/// Runs until `stop`.
pub(crate) async fn run(desk: Arc<Desk>, stop: CancellationToken) {
    // When looks have ended, as far as it was heard of.
    let mut ended = BTreeMap::new();
    let mut wait = FIRST;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return,
        }
        wait = LOOK;
        if let Err(problem) = look(&desk, &stop, &mut ended).await {
            tracing::error!(%problem, "stored data was not looked through");
        }
    }
}

async fn look(
    desk: &Desk,
    stop: &CancellationToken,
    ended: &mut BTreeMap<OrgId, Timestamp>,
) -> Result<(), Problem> {
    let blobs = desk.blobs.clone();
    let orgs = blocking(move || blobs.orgs()).await;
    let orgs = orgs.map_err(|error| io_problem(NOT_READ, &error))?;
    ended.retain(|org, _| orgs.contains(org));
    for org in orgs {
        if !access::knows_org(&desk.engine.read(), org) {
            continue;
        }
        if let Some(at) = ended.get(&org)
            && desk.now().since(*at) < PERIOD
        {
            continue;
        }
        let store = desk.store(org).await?;
        let last = blocking(move || store.last_scrub()).await;
        let last = last.map_err(|error| error.problem(NOT_READ))?;
        if let Some(last) = last.filter(|last| desk.now().since(last.ended_at) < PERIOD) {
            ended.insert(org, last.ended_at);
            continue;
        }
        if let Some(scrub) = scrub(desk, org, stop).await? {
            ended.insert(org, scrub.ended_at);
        }
    }
    Ok(())
}

/// Looks through an org's store; `None` where it was stopped before its end.
async fn scrub(
    desk: &Desk,
    org: OrgId,
    stop: &CancellationToken,
) -> Result<Option<Scrub>, Problem> {
    loop {
        let (store, now) = (desk.store(org).await?, desk.now());
        let step = blocking(move || store.scrub_step(now)).await;
        match step.map_err(|error| error.problem(NOT_READ))? {
            Scrubbed::Done(scrub) => {
                let Scrub {
                    pieces,
                    bytes,
                    damaged,
                    ..
                } = scrub;
                if damaged > 0 {
                    tracing::error!(%org, pieces, %bytes, damaged, "stored data is damaged: upload it again");
                } else {
                    tracing::info!(%org, pieces, %bytes, "all that is stored is whole");
                }
                return Ok(Some(scrub));
            }
            Scrubbed::On(bytes) => {
                let pause = Duration::from_millis(bytes.0 * 1000 / BYTES_PER_SEC);
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stop.cancelled() => return Ok(None),
                }
            }
        }
    }
}
