//! What an org has stored, for its admins.

use common::{
    api::{
        Answer,
        storage::{StorageAnswer, StorageRequest},
    },
    id::UserId,
    problem::Problem,
};
use coordinator_core::query::access;

use super::Member;
use crate::loops::sweep;

pub(super) async fn answer(
    member: &Member,
    user: UserId,
    request: StorageRequest,
) -> Result<Answer, Problem> {
    let desk = &*member.desk;
    let StorageRequest::Collect { org, dry_run } = request;
    access::may_see_storage(&desk.engine.read(), user, org)?;
    let report = if dry_run {
        sweep::preview(desk, org).await?
    } else {
        sweep::now(desk, org).await?
    };
    Ok(Answer::Storage(StorageAnswer::Collected(report)))
}
