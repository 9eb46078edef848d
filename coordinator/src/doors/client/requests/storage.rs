//! What an org has stored, for its admins, and where.

use common::{
    api::{
        Answer,
        storage::{StorageAnswer, StorageRequest, Whereabouts},
    },
    id::{OrgId, UserId},
    org::storage::StoragePlace,
    problem::Problem,
};
use coordinator_core::query::{access, storage};

use super::Member;
use crate::{
    desk::{Desk, blocking},
    loops::sweep,
};

pub(super) async fn answer(
    member: &Member,
    user: UserId,
    request: StorageRequest,
) -> Result<Answer, Problem> {
    let desk = &*member.desk;
    let (StorageRequest::Collect { org, .. } | StorageRequest::Show { org }) = request;
    access::may_see_storage(&desk.engine.read(), user, org)?;
    let answer = match request {
        StorageRequest::Collect { dry_run: true, .. } => {
            StorageAnswer::Collected(sweep::preview(desk, org).await?)
        }
        StorageRequest::Collect { .. } => StorageAnswer::Collected(sweep::now(desk, org).await?),
        StorageRequest::Show { .. } => StorageAnswer::Whereabouts(whereabouts(desk, org).await?),
    };
    Ok(Answer::Storage(answer))
}

async fn whereabouts(desk: &Desk, org: OrgId) -> Result<Whereabouts, Problem> {
    let storage = storage::place(&desk.engine.read(), org);
    let store = desk.store(org).await?;
    let (placed, held_up) = blocking(move || (store.placed(), store.held_up())).await;
    let placed = placed.map_err(|error| error.problem("where the org's data is cannot be read"))?;
    let elsewhere = if storage.is_local() {
        // A bucket is left once nothing of the org's is there.
        placed.bucket.is_some()
    } else {
        placed.local.0 > 0
    };
    Ok(Whereabouts {
        moving: storage != placed.storage || elsewhere,
        storage,
        bucket: placed.bucket,
        local: placed.local,
        remote: placed.remote,
        held_up,
    })
}

/// Checks that an org's bytes can live in a place before that is decided.
pub(super) async fn try_place(
    desk: &Desk,
    user: UserId,
    org: OrgId,
    place: &StoragePlace,
) -> Result<(), Problem> {
    storage::may_place(&desk.engine.read(), user, org)?;
    let (store, place) = (desk.store(org).await?, place.clone());
    store.apart(move |store| store.try_place(&place)).await
}

/// Has the org's store open with what opens its bucket, where the user may delete the org.
pub(super) async fn take_key(desk: &Desk, user: UserId, org: OrgId) {
    let remote = |placed: &StoragePlace| !placed.is_local();
    let may = storage::may_place(&desk.engine.read(), user, org).is_ok();
    if may
        && remote(&storage::place(&desk.engine.read(), org))
        && let Ok(store) = desk.store(org).await
    {
        let taken = store.beside(|store| {
            store.take_key();
            Ok(())
        });
        // The log says what stays.
        let _ = taken.await;
    }
}
