//! Machines on which job after job fails: set aside for a while, tried with one job, and let in again.

use common::{
    id::{MachineId, OrgId, UserId},
    job::Outcome,
    name::Name,
    time::Timestamp,
};

use super::find_machine;
use crate::{
    event::Event,
    policy::{Action, permit},
    rejection::Rejection,
    state::{
        State,
        attempt::Attempt,
        job::Job,
        machine::Machine,
        trouble::{Making, SetAside, Sign, Trouble},
    },
};

/// Returns what the end of an attempt means for its machine.
pub(super) fn after(
    state: &State,
    at: Timestamp,
    attempt: &Attempt,
    job: &Job,
    outcome: &Outcome,
) -> Option<Event> {
    let machine = attempt.machine;
    let row = state.machines.get(&machine)?;
    if !row.state.is_approved() {
        return None;
    }
    let sign = Sign::of(outcome, job, row.owner);
    let org = row.org;
    match &row.set_aside {
        Some(aside) => {
            // What ran there before says nothing of how the machine is now.
            aside.tried.filter(|since| attempt.placed_at >= *since)?;
            match sign {
                Sign::Good => Some(Event::MachineReadmitted { machine, org, at }),
                Sign::Bad(making) if making == Making::Machine || making == aside.making => {
                    let after = SetAside {
                        since: at,
                        until: at.saturating_add(SetAside::span(aside.times + 1).as_duration()),
                        after: vec![job.number],
                        making,
                        reason: outcome.reason,
                        times: aside.times + 1,
                        tried: None,
                    };
                    Some(set_aside(machine, org, after))
                }
                Sign::Bad(_) | Sign::None => None,
            }
        }
        None => {
            let Sign::Bad(making) = sign else {
                return None;
            };
            let mut troubles = row.troubles.clone();
            troubles.note(sign, Trouble::of(job, at));
            let enough = troubles.enough(making)?;
            if making == Making::Program && !is_machines_fault(state, machine, row, enough) {
                return None;
            }
            let after = SetAside {
                since: at,
                until: at.saturating_add(SetAside::span(1).as_duration()),
                after: enough.iter().map(|trouble| trouble.job).collect(),
                making,
                reason: outcome.reason,
                times: 1,
                tried: None,
            };
            Some(set_aside(machine, org, after))
        }
    }
}

fn set_aside(machine: MachineId, org: OrgId, aside: SetAside) -> Event {
    Event::MachineSetAside {
        machine,
        org,
        reason: aside.words(),
        aside: Box::new(aside),
    }
}

/// Returns whether programs fail there and not elsewhere: those of two members at least, and most of the other machines
/// on which programs ended since the first of these failures have one that went well. A machine that has no others to be
/// compared with is never set aside for what programs do.
fn is_machines_fault(
    state: &State,
    machine: MachineId,
    row: &Machine,
    troubles: &[Trouble],
) -> bool {
    let Some(first) = troubles.first() else {
        return false;
    };
    if troubles.iter().all(|other| other.member == first.member) {
        return false;
    }
    let names = state.index.machine_names.get(&row.org);
    let others = names.into_iter().flat_map(|names| names.values());
    let others = others.filter(|other| **other != machine);
    let (mut well, mut ill) = (0u32, 0u32);
    for other in others.filter_map(|id| state.machines.get(id)) {
        if other.troubles.last_success.is_some_and(|at| at >= first.at) {
            well += 1;
        } else if other.troubles.failed_since(first.at) {
            ill += 1;
        }
    }
    well > ill
}

/// Lets jobs onto a machine again that was set aside. Its owner knows what was wrong with it.
pub(super) fn readmit(
    state: &State,
    at: Timestamp,
    user: UserId,
    org: OrgId,
    name: &Name,
) -> Result<Vec<Event>, Rejection> {
    permit(state, org, user, Action::ReadmitOwnMachine)?;
    let (machine, row) = find_machine(state, org, name)?;
    if row.owner != user {
        permit(state, org, user, Action::ReadmitAnyMachine)?;
    }
    let aside = row.set_aside.as_ref();
    let readmitted = aside.map(|_| Event::MachineReadmitted { machine, org, at });
    Ok(readmitted.into_iter().collect())
}
