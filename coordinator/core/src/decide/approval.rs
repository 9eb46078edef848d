//! Approvals, one mechanism for all kinds: asking, deciding, and the rules of when nobody is asked.
//!
//! Whoever registers a machine or submits a job asks by that; see [`asked`]. What follows from an answer for a
//! machine, a job or a member is said here, in the same commit.

mod rules;

use common::{
    approval::{ApprovalRef, MAX_REASON_BYTES},
    id::{ApprovalId, OrgId, UserId},
    status::Verdict,
    time::Timestamp,
};

pub(crate) use self::rules::{fitting_rule, job_note};
use super::{draft::Draft, find_job, machine::plain, rejoin};
use crate::{
    command::approval::ApprovalCommand,
    event::{
        Event,
        approval::{ApprovalEvent, ApprovalSubject},
    },
    lifecycle::approval::{ApprovalState, ApprovalStep, Decider, Decision},
    policy::{Action, member, permit},
    rejection::{Rejection, approval::ApprovalRejection},
    state::{
        State,
        approval::{Approval, of_job},
    },
};

pub(super) fn decide(
    state: &State,
    at: Timestamp,
    user: UserId,
    command: &ApprovalCommand,
) -> Result<Vec<Event>, Rejection> {
    match command {
        ApprovalCommand::Decide {
            org,
            approval,
            verdict,
            reason,
        } => {
            let (id, row) = find(state, user, *org, approval)?;
            answer(state, at, user, id, row, *verdict, reason)
        }
        ApprovalCommand::SetJobThreshold {
            org,
            gpu_hours_over,
        } => rules::set_job_threshold(state, user, *org, *gpu_hours_over),
        ApprovalCommand::AddMachineRule {
            org,
            role,
            addresses,
            ttl,
        } => rules::add_machine_rule(state, at, user, *org, *role, *addresses, *ttl),
        ApprovalCommand::RemoveMachineRule { org, number } => {
            rules::remove_machine_rule(state, user, *org, *number)
        }
    }
}

/// Returns the event of a request that waits from then on.
pub(super) fn asked(
    approval: ApprovalId,
    org: OrgId,
    subject: ApprovalSubject,
    asked_by: UserId,
    note: String,
    at: Timestamp,
) -> Event {
    Event::Approval(ApprovalEvent::ApprovalAsked {
        approval,
        org,
        subject,
        note,
        asked_by,
        at,
    })
}

/// Returns the event of a request that a rule answers at once.
pub(super) fn approved_by_rule(
    approval: ApprovalId,
    org: OrgId,
    subject: ApprovalSubject,
    rule: String,
    at: Timestamp,
) -> Event {
    let decision = Decision {
        by: Decider::Rule(rule),
        at,
        reason: String::new(),
    };
    Event::Approval(ApprovalEvent::ApprovalDecided {
        approval,
        org,
        subject,
        before: ApprovalState::Waiting,
        after: ApprovalState::Approved(decision),
    })
}

/// Returns the event of a request of which the subject went away, where it still waits.
pub(super) fn withdrawn(state: &State, id: ApprovalId, at: Timestamp) -> Option<Event> {
    let row = state.approvals.get(&id)?;
    let after = row.state.transition(ApprovalStep::Withdraw { at }).ok()?;
    Some(decided(id, row, after))
}

/// Answers a request. Said again by whoever it was, an answer that was given is no mistake.
pub(super) fn answer(
    state: &State,
    at: Timestamp,
    user: UserId,
    id: ApprovalId,
    row: &Approval,
    verdict: Verdict,
    reason: &str,
) -> Result<Vec<Event>, Rejection> {
    may_decide(state, user, row)?;
    if reason.len() > MAX_REASON_BYTES {
        let bytes = reason.len();
        return Err(ApprovalRejection::ReasonTooLong { bytes }.into());
    }
    if verdict == Verdict::Approve && matches!(row.state, ApprovalState::Approved(_)) {
        return Ok(Vec::new());
    }
    let decision = Decision {
        by: Decider::User(user),
        at,
        reason: plain(reason),
    };
    let reason = decision.reason.clone();
    let step = ApprovalStep::Decide(verdict, decision);
    let after = row.state.transition(step);
    let after = after.map_err(|_| decided_before(state, row))?;
    let mut draft = Draft::new(state, at);
    draft.decide_approval(id, decided(id, row, after));
    let org = row.org;
    match (row.subject, verdict) {
        (ApprovalSubject::Machine(machine), Verdict::Approve) => {
            draft.push(Event::MachineApproved { machine, org, at });
        }
        (ApprovalSubject::Machine(machine), Verdict::Reject) => {
            draft.push(Event::MachineRejected {
                machine,
                org,
                reason,
                at,
            });
        }
        // Being approved is all that a job needs: it is in the queue.
        (ApprovalSubject::Job(_), Verdict::Approve) => {}
        (ApprovalSubject::Job(job), Verdict::Reject) => draft.cancel_job(job),
        (ApprovalSubject::Rejoin(back), Verdict::Approve) => {
            let events = rejoin::readmit(state, at, org, back)?;
            events.into_iter().for_each(|event| draft.push(event));
        }
        (ApprovalSubject::Rejoin(back), Verdict::Reject) => {
            let events = rejoin::refuse(state, at, org, back)?;
            events.into_iter().for_each(|event| draft.push(event));
        }
    }
    Ok(draft.into_events())
}

fn decided(id: ApprovalId, row: &Approval, after: ApprovalState) -> Event {
    Event::Approval(ApprovalEvent::ApprovalDecided {
        approval: id,
        org: row.org,
        subject: row.subject,
        before: row.state.clone(),
        after,
    })
}

/// Nobody but the owner decides about their own job; everybody who approves machines may approve their own.
fn may_decide(state: &State, user: UserId, row: &Approval) -> Result<(), Rejection> {
    match row.subject {
        ApprovalSubject::Machine(_) => permit(state, row.org, user, Action::ApproveMachine)?,
        ApprovalSubject::Job(_) if row.asked_by == user => {
            permit(state, row.org, user, Action::DecideApproval)?;
            let own = permit(state, row.org, user, Action::ApproveOwnJob);
            own.map_err(|refused| match refused {
                Rejection::NotAllowed { role, .. } => ApprovalRejection::OwnJob { role }.into(),
                other => other,
            })?
        }
        ApprovalSubject::Job(_) | ApprovalSubject::Rejoin(_) => {
            permit(state, row.org, user, Action::DecideApproval)?
        }
    };
    Ok(())
}

fn decided_before(state: &State, row: &Approval) -> Rejection {
    let by = match &row.state {
        ApprovalState::Approved(decision) | ApprovalState::Rejected(decision) => {
            Some(decider(state, &decision.by))
        }
        ApprovalState::Waiting | ApprovalState::Withdrawn { .. } => None,
    };
    ApprovalRejection::Decided {
        approval: reference(state, row),
        status: row.state.status(),
        by,
    }
    .into()
}

/// Returns who decided, as people read it.
pub(crate) fn decider(state: &State, by: &Decider) -> String {
    match by {
        Decider::User(user) => {
            let row = state.users.get(user);
            row.map_or_else(|| user.to_string(), |row| row.handle.to_string())
        }
        Decider::Rule(rule) => rule.clone(),
    }
}

/// Returns a request as people name it.
pub(crate) fn reference(state: &State, row: &Approval) -> ApprovalRef {
    let named = match row.subject {
        ApprovalSubject::Machine(machine) => {
            let machine = state.machines.get(&machine);
            machine.map(|machine| ApprovalRef::Machine(machine.name.clone()))
        }
        ApprovalSubject::Job(job) => {
            let job = state.jobs.get(&job);
            job.map(|job| ApprovalRef::Job(job.number))
        }
        ApprovalSubject::Rejoin(user) => {
            let user = state.users.get(&user);
            user.map(|user| ApprovalRef::Rejoin(user.handle.clone()))
        }
    };
    named.expect("a request refers to rows that are there")
}

/// Returns a request that the user may see: their own, or anybody's where they may decide.
pub(crate) fn find<'a>(
    state: &'a State,
    user: UserId,
    org: OrgId,
    wanted: &ApprovalRef,
) -> Result<(ApprovalId, &'a Approval), Rejection> {
    member(state, org, user)?;
    let all = permit(state, org, user, Action::SeeApprovals).is_ok();
    let id = match wanted {
        ApprovalRef::Id(id) => Some(*id),
        ApprovalRef::Job(number) => {
            let job = find_job(state, user, org, *number).ok();
            job.map(|(job, _)| of_job(job))
        }
        ApprovalRef::Machine(name) => newest(state, org, |subject| match subject {
            ApprovalSubject::Machine(id) => {
                let row = state.machines.get(&id);
                row.is_some_and(|row| row.name == *name)
            }
            _ => false,
        }),
        ApprovalRef::Rejoin(handle) => newest(state, org, |subject| match subject {
            ApprovalSubject::Rejoin(id) => {
                let row = state.users.get(&id);
                row.is_some_and(|row| row.handle == *handle)
            }
            _ => false,
        }),
    };
    let found = id.and_then(|id| Some((id, state.approvals.get(&id)?)));
    let seen = found.filter(|(_, row)| row.org == org && (all || row.asked_by == user));
    seen.ok_or_else(|| {
        let approval = wanted.clone();
        ApprovalRejection::NoSuchApproval { approval }.into()
    })
}

fn newest(
    state: &State,
    org: OrgId,
    wanted: impl Fn(ApprovalSubject) -> bool,
) -> Option<ApprovalId> {
    let mut rows = state.approvals.iter().rev();
    let found = rows.find(|(_, row)| row.org == org && wanted(row.subject));
    found.map(|(id, _)| *id)
}
