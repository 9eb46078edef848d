//! Machines and what they report.

use common::{
    id::MachineId,
    machine::MachineReport,
    time::{Span, Timestamp},
};

use crate::{
    event::Event,
    lifecycle::machine::{MachineState, MachineStep},
    state::{State, activity::Activity, machine::Machine, pool, trouble::Troubles},
};

pub(super) fn apply(state: &mut State, event: &Event) {
    match event {
        Event::MachineRegistered {
            machine,
            org,
            name,
            owner,
            key,
            at,
        } => {
            let row = Machine {
                org: *org,
                name: name.clone(),
                owner: *owner,
                key: *key,
                registered_at: *at,
                state: MachineState::Pending,
                generation: 0,
                last_seen: None,
                executed: 0,
                warm: Vec::new(),
                lent: Span::default(),
                troubles: Troubles::default(),
                set_aside: None,
                labels: Vec::new(),
                activity: Activity::default(),
            };
            state.index.machine_in(*machine, &row);
            state.machines.insert(*machine, row);
        }
        Event::MachineApproved { machine, at, .. } => {
            step(state, *machine, MachineStep::Approve { at: *at });
        }
        Event::MachineRejected {
            machine,
            reason,
            at,
            ..
        } => {
            let reason = reason.clone();
            step(state, *machine, MachineStep::Reject { at: *at, reason });
        }
        Event::MachineRemoved { machine, at, .. } => {
            state.volatile.connected.remove(machine);
            step(state, *machine, MachineStep::Remove { at: *at });
        }
        Event::MachineConnected {
            machine,
            org,
            report,
            at,
        } => {
            state.volatile.connected.insert(*machine);
            state.volatile.lost.remove(machine);
            state.volatile.due.insert(*org);
            reported(state, *machine, report, *at);
        }
        Event::MachineDisconnected { machine, at, .. } => {
            state.volatile.connected.remove(machine);
            if let Some(row) = state.machines.get_mut(machine) {
                row.last_seen = Some(*at);
            }
            pool::refresh(state, *machine);
        }
        Event::MachineSetAside { machine, aside, .. } => judge(state, *machine, |row| {
            row.troubles.clear();
            row.set_aside = Some((**aside).clone());
        }),
        Event::MachineTried { machine, at, .. } => judge(state, *machine, |row| {
            if let Some(aside) = &mut row.set_aside {
                aside.tried = Some(*at);
            }
        }),
        Event::MachineReadmitted { machine, .. } => judge(state, *machine, |row| {
            row.troubles.clear();
            row.set_aside = None;
        }),
        Event::MachineLabelled {
            machine, labels, ..
        } => judge(state, *machine, |row| row.labels.clone_from(labels)),
        Event::MachineLost { machine, .. } => {
            state.volatile.lost.insert(*machine);
        }
        Event::MachineReported {
            machine,
            org,
            report,
            at,
        } => {
            state.volatile.due.insert(*org);
            reported(state, *machine, report, *at);
        }
        _ => {}
    }
}

fn step(state: &mut State, machine: MachineId, step: MachineStep) {
    if let Some(row) = state.machines.get_mut(&machine) {
        state.index.machine_out(machine, row);
        if let Ok(after) = row.state.transition(step) {
            row.state = after;
        }
        state.index.machine_in(machine, row);
    }
    pool::refresh(state, machine);
}

/// Changes what a machine may be given, and what follows from it.
fn judge(state: &mut State, machine: MachineId, change: impl FnOnce(&mut Machine)) {
    if let Some(row) = state.machines.get_mut(&machine) {
        state.index.machine_out(machine, row);
        change(row);
        state.index.machine_in(machine, row);
        state.volatile.due.insert(row.org);
    }
    pool::refresh(state, machine);
}

fn reported(state: &mut State, machine: MachineId, report: &MachineReport, at: Timestamp) {
    if let Some(row) = state.machines.get_mut(&machine) {
        row.last_seen = Some(at);
        state.reports.insert(machine, report.clone());
    }
    pool::refresh(state, machine);
    if let Some((org, owner)) = state.machines.get(&machine).map(|row| (row.org, row.owner)) {
        state.first(org, owner);
    }
}
