//! Machines: registration, approval, removal, contact.

use std::{collections::BTreeSet, net::IpAddr};

use common::{
    id::{AttemptId, Fingerprint, MachineId, OrgId, UserId},
    machine::{MAX_REPORT_TEXT_BYTES, MachineReport},
    name::Name,
    status::{EndReason, Verdict},
    time::Timestamp,
};

use super::{approval, draft::Draft, enrolment, find_machine};
use crate::{
    event::{Event, Holder, approval::ApprovalSubject},
    lifecycle::{
        attempt::AttemptState,
        machine::{MachineState, MachineStep},
    },
    policy::{Action, permit},
    rejection::{LimitReached, Rejection},
    state::{State, approval::of_machine, machine::Machine},
};

/// A machine that a member offers.
pub(super) struct Offered<'a> {
    pub(super) machine: MachineId,
    pub(super) org: OrgId,
    pub(super) name: &'a Name,
    pub(super) key: Fingerprint,
    /// Where the member is.
    pub(super) from: Option<IpAddr>,
}

pub(super) fn register(
    state: &State,
    at: Timestamp,
    user: UserId,
    offered: &Offered<'_>,
) -> Result<Vec<Event>, Rejection> {
    let Offered {
        machine,
        org,
        name,
        key,
        from,
    } = *offered;
    let member = permit(state, org, user, Action::RegisterMachine)?;
    if let Ok((_, row)) = find_machine(state, org, name) {
        return if row.owner == user && row.key == key {
            Ok(Vec::new())
        } else {
            Err(Rejection::NameTaken {
                noun: "machine",
                name: name.clone(),
            })
        };
    }
    let row = state.orgs.get(&org).ok_or(Rejection::NoSuchOrg)?;
    if let Some(most) = row.limits.max_machines_per_user {
        let own = state.index.belongings.machines.get(&(org, user));
        let count = own.map_or(0, BTreeSet::len);
        if count >= usize::try_from(most).unwrap_or(usize::MAX) {
            return Err(Rejection::Limit(vec![LimitReached {
                limit: "max_machines_per_user".to_owned(),
                value: most.to_string(),
                asked: "one more machine".to_owned(),
                current: Some(match count {
                    1 => "1 machine registered".to_owned(),
                    _ => format!("{count} machines registered"),
                }),
                source: format!("in the limits of org {}", row.name),
            }]));
        }
    }
    let registered = Event::MachineRegistered {
        machine,
        org,
        name: name.clone(),
        owner: user,
        key,
        at,
    };
    let (approval, subject) = (of_machine(machine), ApprovalSubject::Machine(machine));
    let asked = approval::asked(approval, org, subject, user, String::new(), at);
    let mut events = vec![registered, asked];
    if let Some(rule) = approval::fitting_rule(row, at, member.role, from) {
        let approved = approval::approved_by_rule(approval, org, subject, rule, at);
        events.extend([approved, Event::MachineApproved { machine, org, at }]);
    }
    Ok(events)
}

/// Answers the request of a machine that waits.
pub(super) fn answer(
    state: &State,
    at: Timestamp,
    user: UserId,
    org: OrgId,
    name: &Name,
    verdict: Verdict,
    reason: &str,
) -> Result<Vec<Event>, Rejection> {
    permit(state, org, user, Action::ApproveMachine)?;
    let found = find_machine(state, org, name);
    let (machine, row) = found.map_err(|error| rejected(state, org, name).unwrap_or(error))?;
    if verdict == Verdict::Approve && row.state.is_approved() {
        return Ok(Vec::new());
    }
    let reason = plain(reason);
    let step = match verdict {
        Verdict::Approve => MachineStep::Approve { at },
        Verdict::Reject => MachineStep::Reject {
            at,
            reason: reason.clone(),
        },
    };
    legal(row, step)?;
    let id = of_machine(machine);
    let asked = state.approvals.get(&id);
    let asked = asked.expect("a machine that waits has its request");
    approval::answer(state, at, user, id, asked, verdict, &reason)
}

/// Returns that the newest machine of this name was rejected, if it was. Its name is free, so that no index has it.
fn rejected(state: &State, org: OrgId, name: &Name) -> Option<Rejection> {
    let called = state.machines.values();
    let called = called.filter(|row| row.org == org && row.name == *name);
    match &called.max_by_key(|row| row.registered_at)?.state {
        MachineState::Rejected { reason, .. } => Some(Rejection::MachineRejected {
            name: name.clone(),
            reason: reason.clone(),
        }),
        _ => None,
    }
}

pub(super) fn remove(
    state: &State,
    at: Timestamp,
    user: UserId,
    org: OrgId,
    name: &Name,
) -> Result<Vec<Event>, Rejection> {
    permit(state, org, user, Action::RemoveOwnMachine)?;
    let (machine, row) = find_machine(state, org, name)?;
    if row.owner != user {
        permit(state, org, user, Action::RemoveAnyMachine)?;
    }
    legal(row, MachineStep::Remove { at })?;
    let mut draft = Draft::new(state, at);
    take_out(&mut draft, state, at, machine, row);
    Ok(draft.into_events())
}

/// Takes a living machine out of the pool with everything that is on it.
pub(super) fn take_out(
    draft: &mut Draft<'_>,
    state: &State,
    at: Timestamp,
    machine: MachineId,
    row: &Machine,
) {
    let used = state.index.machines.get(&machine);
    for id in used.into_iter().flat_map(|used| &used.desired) {
        let why = "the machine was taken out of the org";
        draft.end_without_machine(*id, EndReason::MachineOwner, why);
        draft.give_up_rest(*id);
    }
    draft.withdraw_approval(of_machine(machine));
    enrolment::revoke_all(draft, state, at, Holder::Machine(machine));
    draft.push(Event::MachineRemoved {
        machine,
        org: row.org,
        at,
    });
}

/// Takes a machine's hello. What the state believes to run there and the machine knows nothing of is lost,
/// unless the machine may never have been told of it.
pub(super) fn connect(
    state: &State,
    at: Timestamp,
    machine: MachineId,
    report: &MachineReport,
    attempts: &[AttemptId],
) -> Result<Vec<Event>, Rejection> {
    let row = approved(state, machine)?;
    report.check().map_err(Rejection::Report)?;
    let mut draft = Draft::new(state, at);
    draft.push(Event::MachineConnected {
        machine,
        org: row.org,
        report: Box::new(in_order(report)),
        at,
    });
    let known: BTreeSet<&AttemptId> = attempts.iter().collect();
    let used = state.index.machines.get(&machine);
    for id in used.into_iter().flat_map(|used| &used.desired) {
        if known.contains(id) {
            continue;
        }
        match state.attempts.get(id).map(|attempt| &attempt.state) {
            None | Some(AttemptState::Placed | AttemptState::Next | AttemptState::Returning) => {}
            Some(AttemptState::Ended(_)) => draft.give_up_rest(*id),
            Some(_) => {
                let why = "the machine came back without it";
                draft.end_without_machine(*id, EndReason::MachineLost, why);
            }
        }
    }
    Ok(draft.into_events())
}

pub(super) fn disconnect(state: &State, at: Timestamp, machine: MachineId) -> Vec<Event> {
    let connected = state.is_connected(machine);
    let row = state.machines.get(&machine).filter(|_| connected);
    row.into_iter()
        .map(|row| Event::MachineDisconnected {
            machine,
            org: row.org,
            at,
        })
        .collect()
}

pub(super) fn report(
    state: &State,
    at: Timestamp,
    machine: MachineId,
    report: &MachineReport,
) -> Result<Vec<Event>, Rejection> {
    let row = approved(state, machine)?;
    report.check().map_err(Rejection::Report)?;
    let report = in_order(report);
    if state.reports.get(&machine) == Some(&report) {
        return Ok(Vec::new());
    }
    Ok(vec![Event::MachineReported {
        machine,
        org: row.org,
        report: Box::new(report),
        at,
    }])
}

/// Ends what ran on a machine that was not heard of for so long that it has ended it by itself. What it
/// still holds of attempts that ended before may yet come.
pub(super) fn expire_lease(state: &State, at: Timestamp, machine: MachineId) -> Vec<Event> {
    let row = state.machines.get(&machine);
    let Some(row) = row.filter(|row| row.state.is_approved() && !state.is_connected(machine))
    else {
        return Vec::new();
    };
    let mut draft = Draft::new(state, at);
    if !state.volatile.lost.contains(&machine) {
        draft.push(Event::MachineLost {
            machine,
            org: row.org,
            at,
        });
    }
    let used = state.index.machines.get(&machine);
    for id in used.into_iter().flat_map(|used| &used.desired) {
        let why = "no contact with the machine for longer than its lease";
        draft.end_without_machine(*id, EndReason::MachineLost, why);
    }
    draft.into_events()
}

fn approved(state: &State, machine: MachineId) -> Result<&Machine, Rejection> {
    let row = state.machines.get(&machine);
    let row = row.ok_or(Rejection::NoSuchMachine { name: None })?;
    let name = row.name.clone();
    match &row.state {
        MachineState::Approved { .. } => Ok(row),
        MachineState::Pending => Err(Rejection::MachinePending { name }),
        MachineState::Removed { .. } => Err(Rejection::MachineRemoved { name }),
        MachineState::Rejected { reason, .. } => Err(Rejection::MachineRejected {
            name,
            reason: reason.clone(),
        }),
    }
}

fn legal(row: &Machine, step: MachineStep) -> Result<(), Rejection> {
    let after = row.state.transition(step);
    after.map(drop).map_err(|illegal| Rejection::MachineState {
        name: row.name.clone(),
        state: illegal.state,
        step: illegal.step,
    })
}

/// Returns the report with its trees and names in order, as the schedule looks for them, and every GPU once.
fn in_order(report: &MachineReport) -> MachineReport {
    let mut report = report.clone();
    for capacity in [&mut report.capacity, &mut report.offer] {
        let mut seen = BTreeSet::new();
        capacity.gpus.retain(|gpu| seen.insert(gpu.uuid.clone()));
    }
    report.cached.sort_unstable();
    report.cached.dedup();
    let admits = &mut report.admits;
    let lists = admits.members.iter_mut().chain(&mut admits.projects);
    let never = [&mut admits.not_members, &mut admits.not_projects];
    for names in lists.chain(never) {
        names.sort_unstable();
        names.dedup();
    }
    report
}

/// Returns a text that somebody typed without what a terminal would act on.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if plain.len() + c.len_utf8() > MAX_REPORT_TEXT_BYTES {
            break;
        }
        plain.push(c);
    }
    plain
}
