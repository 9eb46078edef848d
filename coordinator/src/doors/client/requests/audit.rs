//! The audit log: read from the book beside the engine, put into words from the state.

use common::{
    api::{
        Answer,
        audit::{AuditAnswer, AuditPage, AuditRequest, ListAudit, ReadChain},
    },
    id::UserId,
    problem::Problem,
    status::AuditKind,
};
use coordinator_core::{
    Actor,
    query::audit::{self, Sought},
};

use crate::{
    desk::{Desk, blocking},
    store::{Filter, StoreError},
};

pub(super) async fn answer(
    desk: &Desk,
    user: UserId,
    request: AuditRequest,
) -> Result<Answer, Problem> {
    let answer = match request {
        AuditRequest::List(list) => AuditAnswer::Page(page(desk, user, list).await?),
        AuditRequest::Chain(ReadChain { org, from }) => {
            audit::may_see(&desk.engine.read(), user, org)?;
            let trail = desk.trail.clone();
            AuditAnswer::Chain(read(move || trail.chain(org, from)).await?)
        }
    };
    Ok(Answer::Audit(answer))
}

async fn page(desk: &Desk, user: UserId, list: ListAudit) -> Result<AuditPage, Problem> {
    let org = list.org;
    let sought = {
        let state = desk.engine.read();
        audit::may_see(&state, user, org)?;
        list.actor
            .as_ref()
            .map(|name| audit::seek(&state, org, name))
    };
    let actor = match sought {
        None => None,
        Some(Sought::Known(actor) | Sought::Past(actor)) => Some(actor),
        Some(Sought::Unknown) => return Err(unknown(&list)),
    };
    let filter = Filter {
        kinds: kinds(&list.kinds),
        actor,
        since: list.since,
        before: list.before,
        limit: list.limit,
    };
    let trail = desk.trail.clone();
    let page = read(move || trail.page(org, &filter)).await?;
    // Somebody of another org is not to be told from nobody.
    let nothing = page.entries.is_empty() && page.before.is_none() && list.before.is_none();
    if nothing && matches!(sought, Some(Sought::Past(Actor::User(_)))) {
        return Err(unknown(&list));
    }
    let state = desk.engine.read();
    let entries = page.entries.into_iter();
    Ok(AuditPage {
        entries: entries.map(|kept| audit::in_words(&state, kept)).collect(),
        before: page.before,
    })
}

fn unknown(list: &ListAudit) -> Problem {
    audit::no_such_actor(list.actor.as_deref().unwrap_or_default())
}

/// Returns the kinds that are asked for, each once; those that are shown unless asked otherwise where none is.
fn kinds(asked: &[AuditKind]) -> Vec<AuditKind> {
    let all = AuditKind::ALL.iter().copied();
    all.filter(|kind| match asked {
        [] => kind.is_shown(),
        asked => asked.contains(kind),
    })
    .collect()
}

async fn read<T: Send + 'static>(
    look: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Problem> {
    blocking(look).await.map_err(Problem::from)
}
