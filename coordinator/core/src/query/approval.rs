//! Requests for approval as people see them, and the rules of when nobody is asked.

use common::{
    api::{
        MAX_ROWS,
        approval::{ApprovalAnswer, ApprovalRequest},
        page::Page,
    },
    approval::{ApprovalRules, ApprovalView, DecisionView},
    id::{ApprovalId, JobId, OrgId, UserId},
};

use super::{
    handle,
    page::{before, page},
};
use crate::{
    decide::approval::{decider, find, reference},
    lifecycle::approval::ApprovalState,
    policy::{Action, permit},
    rejection::Rejection,
    state::{
        State,
        approval::{self, Approval},
    },
};

/// Answers a question about approvals; `None` for what is a command.
pub(super) fn answer(
    state: &State,
    user: UserId,
    request: &ApprovalRequest,
) -> Result<Option<ApprovalAnswer>, Rejection> {
    Ok(Some(match request {
        ApprovalRequest::List { org, all, after } => {
            ApprovalAnswer::List(list(state, user, *org, *all, after.as_ref())?)
        }
        ApprovalRequest::Show { org, approval } => {
            let (id, row) = find(state, user, *org, approval)?;
            ApprovalAnswer::One(Box::new(view(state, id, row)?))
        }
        ApprovalRequest::ShowRules { org } => ApprovalAnswer::Rules(rules(state, user, *org)?),
        ApprovalRequest::Decide { .. }
        | ApprovalRequest::SetJobThreshold { .. }
        | ApprovalRequest::AddMachineRule { .. }
        | ApprovalRequest::RemoveMachineRule { .. } => return Ok(None),
    }))
}

fn list(
    state: &State,
    user: UserId,
    org: OrgId,
    all: bool,
    last: Option<&ApprovalId>,
) -> Result<Page<ApprovalView, ApprovalId>, Rejection> {
    permit(state, org, user, Action::SeeOrg)?;
    let of_others = permit(state, org, user, Action::SeeApprovals).is_ok();
    let ids = if all {
        state.index.listed.approvals.get(&org)
    } else {
        state.index.approvals.get(&org)
    };
    let ids = ids
        .into_iter()
        .flat_map(|ids| ids.range::<ApprovalId, _>(before(last)).rev());
    page(
        MAX_ROWS,
        ids.copied(),
        |id| id,
        |id| {
            let row = state.approvals.get(&id);
            let row = row.filter(|row| of_others || row.asked_by == user);
            row.map(|row| view(state, id, row)).transpose()
        },
    )
}

/// Every member may know what needs approval.
fn rules(state: &State, user: UserId, org: OrgId) -> Result<ApprovalRules, Rejection> {
    permit(state, org, user, Action::SeeOrg)?;
    let row = state.orgs.get(&org).ok_or(Rejection::NoSuchOrg)?;
    Ok(row.approvals.clone())
}

/// Returns the request about a job, where it needed one.
pub(super) fn of_job(state: &State, job: JobId) -> Result<Option<ApprovalView>, Rejection> {
    let row = state.approvals.get_key_value(&approval::of_job(job));
    row.map(|(id, row)| view(state, *id, row)).transpose()
}

fn view(state: &State, id: ApprovalId, row: &Approval) -> Result<ApprovalView, Rejection> {
    Ok(ApprovalView {
        id,
        kind: row.subject.kind(),
        subject: reference(state, row).to_string(),
        note: row.note.clone(),
        asked_by: handle(state, row.asked_by)?,
        asked_at: row.asked_at,
        status: row.state.status(),
        decision: match &row.state {
            ApprovalState::Waiting => None,
            ApprovalState::Approved(decision) | ApprovalState::Rejected(decision) => {
                Some(DecisionView {
                    by: Some(decider(state, &decision.by)),
                    at: decision.at,
                    reason: decision.reason.clone(),
                })
            }
            ApprovalState::Withdrawn { at } => Some(DecisionView {
                by: None,
                at: *at,
                reason: String::new(),
            }),
        },
    })
}
