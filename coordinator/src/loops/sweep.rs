//! The files of deleted orgs and datasets go: logs, and whatever trees nothing needs. What a crash leaves is gone after
//! the next start. Once a day all stores are looked through for what nobody ever named.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use common::{
    api::storage::StorageReport,
    id::{JobId, OrgId, TreeId},
    problem::Problem,
    units::Bytes,
};
use coordinator_core::{
    Actor, Body,
    query::access::{self, Leftovers},
};
use futures_util::{StreamExt as _, stream};
use link::trees::io_problem;
use tokio_util::sync::CancellationToken;

use crate::{
    blobs::{BlobError, Collected, KEEP_UNNAMED, Preview, Store},
    desk::{Desk, blocking},
};

/// After which a sweep that failed is tried again.
const RETRY: Duration = Duration::from_secs(600);
/// How often stores are swept of which nothing was deleted.
const ROUND: Duration = Duration::from_secs(24 * 3600);
/// Most trees of deleted datasets that are finished by one command.
const MAX_FINISHED: usize = 1000;
/// Stores that are swept at once.
const AT_ONCE: usize = 8;

const NOT_SWEPT: &str = "files that nothing needs are still there";
const NOT_READ: &str = "what is stored cannot be read";

/// What is swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// What was deleted.
    Deleted,
    /// That, and what nobody ever named, of all orgs.
    Round,
    /// All of one org.
    Org(OrgId),
}

/// What a sweep has done in an org's store.
#[derive(Debug, Clone, Copy, Default)]
struct Swept {
    collected: Collected,
    /// Trees that were held.
    held: u64,
}

/// Runs until `stop`: at the start, and whenever an org or a dataset was deleted.
pub(crate) async fn run(desk: Arc<Desk>, stop: CancellationToken) {
    let mut rounded: Option<Instant> = None;
    loop {
        let due = rounded.is_none_or(|at| at.elapsed() >= ROUND);
        let scope = if due { Scope::Round } else { Scope::Deleted };
        match sweep(&desk, scope).await {
            Ok(_) if due => rounded = Some(Instant::now()),
            Ok(_) => {}
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

/// Sweeps one org's store; returns what went.
///
/// # Errors
/// Something cannot be read or written: what went is gone.
pub(crate) async fn now(desk: &Desk, org: OrgId) -> Result<StorageReport, Problem> {
    let swept = sweep(desk, Scope::Org(org)).await?;
    let Swept { collected, held } = swept.get(&org).copied().unwrap_or_default();
    let gone = Preview {
        gone: collected,
        held,
        more: false,
    };
    report(desk, org, Purpose::Done, move |_| Ok(gone)).await
}

/// Returns what [`now`] would do.
///
/// # Errors
/// Something cannot be read.
pub(crate) async fn preview(desk: &Desk, org: OrgId) -> Result<StorageReport, Problem> {
    let scope = Scope::Org(org);
    let (_, mut going) = going(desk, scope, old(desk, scope).await?).await;
    let mut trees = going.remove(&org).unwrap_or_default();
    trees.sort_unstable();
    trees.dedup();
    report(desk, org, Purpose::DryRun, move |store| {
        store.preview(&trees)
    })
    .await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Done,
    DryRun,
}

async fn report(
    desk: &Desk,
    org: OrgId,
    purpose: Purpose,
    gone: impl FnOnce(&Store) -> Result<Preview, BlobError> + Send + 'static,
) -> Result<StorageReport, Problem> {
    let store = desk.store(org).await?;
    let looked = blocking(move || {
        let Preview { gone, held, more } = gone(&store)?;
        Ok::<_, BlobError>(StorageReport {
            dry_run: purpose == Purpose::DryRun,
            trees: gone.trees,
            pieces: gone.pieces,
            bytes: Bytes(gone.bytes),
            more,
            held,
            kept: store.stored_now()?,
            scrub: store.last_scrub()?,
        })
    });
    looked.await.map_err(|error| error.problem(NOT_READ))
}

async fn sweep(desk: &Desk, scope: Scope) -> Result<BTreeMap<OrgId, Swept>, Problem> {
    let (mut leftovers, mut swept) = doom(desk, scope).await?;
    let mut failed = None;
    // A few at once: one whose bucket does not answer holds up no other.
    let orgs: Vec<OrgId> = swept.keys().copied().collect();
    let collecting = stream::iter(orgs).map(|org| async move { (org, collect(desk, org).await) });
    let mut collecting = pin!(collecting.buffer_unordered(AT_ONCE));
    while let Some((org, collected)) = collecting.next().await {
        match collected {
            Ok(collected) => swept.entry(org).or_default().collected = collected,
            Err(problem) => {
                tracing::error!(%org, %problem, "an org's store cannot be swept");
                leftovers.discarded.retain(|one| one.org != org);
                failed = Some(problem);
            }
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
    failed.map_or(Ok(swept), Err)
}

/// Takes the names of trees away that nothing needs; nobody can name one meanwhile. What is held stays, and is left to
/// another sweep with what it belongs to. Returns with it the orgs whose stores have something to give back.
async fn doom(desk: &Desk, scope: Scope) -> Result<(Leftovers, BTreeMap<OrgId, Swept>), Problem> {
    // Opening stores takes a while: nobody waits for it who names a tree.
    let old = old(desk, scope).await?;
    let one = matches!(scope, Scope::Org(_));
    let some = old.iter().filter(|(_, trees)| one || !trees.is_empty());
    let open = open(desk, scope, some.map(|(org, _)| org)).await?;
    let _unnamed = desk.blobs.unnamed().await;
    let (mut leftovers, going) = going(desk, scope, old).await;
    let mut swept = BTreeMap::new();
    for (org, trees) in going {
        if trees.is_empty() {
            // What broke off or has lost its name before is collected all the same.
            swept.insert(org, Swept::default());
            continue;
        }
        let Some(store) = open.get(&org).cloned() else {
            // Something of it was deleted just now, or it cannot be opened: another sweep takes it.
            leftovers.discarded.retain(|one| one.org != org);
            continue;
        };
        let doomed = blocking(move || store.doom(&trees)).await;
        let held = doomed.map_err(|error| error.problem(NOT_SWEPT))?;
        if !held.is_empty() {
            tracing::info!(%org, count = held.len(), "trees that go are still held");
            leftovers
                .discarded
                .retain(|one| one.org != org || !held.contains(&one.tree));
        }
        let entry: &mut Swept = swept.entry(org).or_default();
        entry.held = held.len() as u64;
    }
    Ok((leftovers, swept))
}

/// Opens the stores of these orgs, and of those that have trees that were deleted. One that cannot be opened is left
/// out, unless it is all that is swept.
async fn open(
    desk: &Desk,
    scope: Scope,
    orgs: impl Iterator<Item = &OrgId>,
) -> Result<BTreeMap<OrgId, Store>, Problem> {
    let mut orgs: BTreeSet<OrgId> = orgs.copied().collect();
    {
        let state = desk.engine.read();
        orgs.retain(|org| access::knows_org(&state, *org));
        if !matches!(scope, Scope::Org(_)) {
            let deleted = access::leftovers(&state).trees;
            orgs.extend(deleted.into_iter().map(|(org, _)| org));
        }
    }
    let opening = stream::iter(orgs).map(|org| async move { (org, desk.store(org).await) });
    let mut opening = pin!(opening.buffer_unordered(AT_ONCE));
    let mut open = BTreeMap::new();
    while let Some((org, opened)) = opening.next().await {
        if let Some(store) = unless_one_of_many(scope, org, opened)? {
            open.insert(org, store);
        }
    }
    Ok(open)
}

/// Fails where the org is all that is swept: among many, one whose store cannot be used is passed over.
fn unless_one_of_many<T>(
    scope: Scope,
    org: OrgId,
    done: Result<T, Problem>,
) -> Result<Option<T>, Problem> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(problem) if matches!(scope, Scope::Org(_)) => Err(problem),
        Err(problem) => {
            tracing::error!(%org, %problem, "an org's store cannot be swept");
            Ok(None)
        }
    }
}

/// Returns what nothing needs any more, with those of the `old` trees that nothing names.
async fn going(
    desk: &Desk,
    scope: Scope,
    old: BTreeMap<OrgId, Vec<TreeId>>,
) -> (Leftovers, BTreeMap<OrgId, Vec<TreeId>>) {
    // What named a tree before is in the mailbox: it is done once this is.
    note(desk, Body::Schedule { most: 0 }).await;
    let state = desk.engine.read();
    let mut leftovers = access::leftovers(&state);
    if let Scope::Org(org) = scope {
        leftovers.orgs.clear();
        leftovers.trees.retain(|(of, _)| *of == org);
        leftovers.discarded.retain(|one| one.org == org);
    }
    let mut going: BTreeMap<OrgId, Vec<TreeId>> = BTreeMap::new();
    for (org, tree) in std::mem::take(&mut leftovers.trees) {
        going.entry(org).or_default().push(tree);
    }
    for (org, trees) in old {
        if access::knows_org(&state, org) {
            let unnamed = trees
                .into_iter()
                .filter(|tree| !access::is_named(&state, org, *tree));
            going.entry(org).or_default().extend(unnamed);
        } else {
            leftovers.orgs.push((org, Vec::new()));
        }
    }
    (leftovers, going)
}

/// Returns the trees that were sent long ago, of every org that is swept whole; none of an org that nobody knows.
async fn old(desk: &Desk, scope: Scope) -> Result<BTreeMap<OrgId, Vec<TreeId>>, Problem> {
    let orgs = match scope {
        Scope::Deleted => return Ok(BTreeMap::new()),
        Scope::Org(org) => vec![org],
        Scope::Round => {
            let blobs = desk.blobs.clone();
            let orgs = blocking(move || blobs.orgs()).await;
            orgs.map_err(|error| io_problem(NOT_SWEPT, &error))?
        }
    };
    let looking = stream::iter(orgs).map(|org| async move { (org, old_of(desk, org).await) });
    // Few are open at once, however many there are.
    let mut looking = pin!(looking.buffer_unordered(AT_ONCE));
    let mut old = BTreeMap::new();
    while let Some((org, found)) = looking.next().await {
        let trees = unless_one_of_many(scope, org, found)?;
        old.insert(org, trees.unwrap_or_default());
    }
    Ok(old)
}

async fn old_of(desk: &Desk, org: OrgId) -> Result<Vec<TreeId>, Problem> {
    if !access::knows_org(&desk.engine.read(), org) {
        return Ok(Vec::new());
    }
    let store = desk.store(org).await?;
    let found = blocking(move || store.trees_older_than(KEEP_UNNAMED)).await;
    found.map_err(|error| error.problem(NOT_SWEPT))
}

async fn collect(desk: &Desk, org: OrgId) -> Result<Collected, Problem> {
    let store = desk.store(org).await?;
    let collected = store.beside(|store| {
        let collected = store.collect();
        collected.map_err(|error| error.problem(NOT_SWEPT))
    });
    let collected = collected.await?;
    if collected != Collected::default() {
        let Collected {
            trees,
            pieces,
            bytes,
        } = collected;
        tracing::info!(%org, trees, pieces, bytes, "an org's store was swept");
    }
    Ok(collected)
}

/// Has the engine take this in. Where it has stopped, the next start finds the rows and nothing left to do.
async fn note(desk: &Desk, body: Body) {
    if let Ok(pending) = desk.engine.post(Actor::System, body).await {
        let _ = pending.done().await;
    }
}
