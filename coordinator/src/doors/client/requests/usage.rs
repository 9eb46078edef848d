//! Usage: one look at the state for each day, so that the engine writes in between.

use common::{
    api::{Answer, usage::ShowUsage},
    id::UserId,
    problem::Problem,
};
use coordinator_core::query::usage::Tally;

use crate::desk::Desk;

pub(super) async fn show(
    desk: &Desk,
    user: UserId,
    request: &ShowUsage,
) -> Result<Answer, Problem> {
    let mut tally = Tally::begin(&desk.engine.read(), user, request)?;
    while tally.take_day(&desk.engine.read()) {
        tokio::task::yield_now().await;
    }
    let report = tally.finish(&desk.engine.read());
    Ok(Answer::Usage(report))
}
