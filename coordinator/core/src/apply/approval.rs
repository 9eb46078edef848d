//! Requests for approval, and the rules of when nobody is asked.

use common::time::Timestamp;

use super::job::change;
use crate::{
    event::approval::{ApprovalEvent, ApprovalSubject},
    lifecycle::{approval::ApprovalState, job::JobStep},
    state::{State, approval::Approval},
};

pub(super) fn apply(state: &mut State, event: &ApprovalEvent) {
    match event {
        ApprovalEvent::ApprovalAsked {
            approval: id,
            org,
            subject,
            note,
            asked_by,
            at,
        } => {
            let row = Approval {
                org: *org,
                subject: *subject,
                note: note.clone(),
                asked_by: *asked_by,
                asked_at: *at,
                state: ApprovalState::Waiting,
            };
            state.index.approval_in(*id, &row);
            state.approvals.insert(*id, row);
            step(state, *subject, JobStep::AwaitApproval, None);
        }
        ApprovalEvent::ApprovalDecided {
            approval: id,
            org,
            subject,
            after,
            ..
        } => {
            if let Some(row) = state.approvals.get_mut(id) {
                state.index.approval_out(*id, row);
                row.state = after.clone();
                state.index.approval_in(*id, row);
            }
            if let ApprovalState::Approved(decision) = after {
                step(state, *subject, JobStep::Approve, Some(decision.at));
                state.volatile.due.insert(*org);
            }
        }
        ApprovalEvent::ApprovalRulesChanged {
            org, after, made, ..
        } => {
            if let Some(row) = state.orgs.get_mut(org) {
                row.approvals = (**after).clone();
                row.machine_rules_made = *made;
            }
        }
    }
}

/// Takes a job's step, where it is about a job, from which on it may wait.
fn step(state: &mut State, subject: ApprovalSubject, step: JobStep, waits: Option<Timestamp>) {
    let ApprovalSubject::Job(job) = subject else {
        return;
    };
    change(state, job, |progress| {
        if let Ok(after) = progress.state.transition(step) {
            progress.state = after;
            progress.waits_since = waits.unwrap_or(progress.waits_since);
        }
    });
}
