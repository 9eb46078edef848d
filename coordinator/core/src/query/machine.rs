//! Machines as people see them.

use common::{
    api::{MAX_ROWS, page::Page},
    id::{MachineId, OrgId, UserId},
    machine::{MachineReport, MachineView, Pause, PausedBy},
    name::Name,
    status::MachineStatus,
};

use super::{
    Presence, count, handle,
    page::{after, page},
};
use crate::{
    lifecycle::machine::MachineState,
    policy::{self, Action, permit},
    rejection::Rejection,
    schedule::explain::pause_reason,
    state::{State, machine::Machine},
};

/// By name, those that wait or were rejected too.
pub(super) fn list(
    state: &State,
    presence: &Presence<'_>,
    user: UserId,
    org: OrgId,
    last: Option<&(Name, MachineId)>,
) -> Result<Page<MachineView, (Name, MachineId)>, Rejection> {
    permit(state, org, user, Action::SeeMachines)?;
    let listed = state.index.listed.machines.get(&org).into_iter();
    let listed = listed.flat_map(|listed| listed.range::<(Name, MachineId), _>(after(last)));
    page(MAX_ROWS, listed, Clone::clone, |(_, id)| {
        let row = state.machines.get(id);
        row.map(|row| view(state, presence, user, *id, row))
            .transpose()
    })
}

/// The living machine of this name, or the last one that had it.
pub(super) fn show(
    state: &State,
    presence: &Presence<'_>,
    user: UserId,
    org: OrgId,
    name: &Name,
) -> Result<MachineView, Rejection> {
    permit(state, org, user, Action::SeeMachines)?;
    let living = state
        .index
        .machine_names
        .get(&org)
        .and_then(|names| names.get(name));
    let gone = || {
        let mut rows = state.machines.iter().rev();
        let found = rows.find(|(_, row)| row.org == org && row.name == *name);
        found.map(|(id, _)| id)
    };
    let found = living
        .or_else(gone)
        .and_then(|id| Some((*id, state.machines.get(id)?)));
    let (id, row) = found.ok_or_else(|| Rejection::NoSuchMachine {
        name: Some(name.clone()),
    })?;
    view(state, presence, user, id, row)
}

pub(super) fn is_listed(row: &Machine) -> bool {
    !matches!(row.state, MachineState::Removed { .. })
}

pub(super) fn status(state: &State, id: MachineId, row: &Machine) -> MachineStatus {
    let live = state
        .index
        .machines
        .get(&id)
        .is_some_and(|used| !used.live.is_empty());
    let paused = state
        .reports
        .get(&id)
        .is_some_and(|report| report.paused.is_some());
    match row.state {
        MachineState::Pending => MachineStatus::Pending,
        MachineState::Rejected { .. } => MachineStatus::Rejected,
        MachineState::Removed { .. } => MachineStatus::Removed,
        MachineState::Approved { .. } if !state.is_connected(id) => MachineStatus::Offline,
        MachineState::Approved { .. } if paused => MachineStatus::Paused,
        MachineState::Approved { .. } if live => MachineStatus::Busy,
        MachineState::Approved { .. } => MachineStatus::Available,
    }
}

fn view(
    state: &State,
    presence: &Presence<'_>,
    user: UserId,
    id: MachineId,
    row: &Machine,
) -> Result<MachineView, Rejection> {
    let report = state.reports.get(&id);
    let used = state.index.machines.get(&id);
    let contact = presence.contacts.get(&id);
    let status = status(state, id, row);
    let pause = report.and_then(|report| report.paused.as_ref());
    let detail = match (&row.state, pause) {
        (MachineState::Rejected { reason, .. }, _) => Some(reason.clone()),
        (_, Some(pause)) if status == MachineStatus::Paused => Some(pause_words(pause)),
        _ => None,
    };
    Ok(MachineView {
        id,
        name: row.name.clone(),
        owner: handle(state, row.owner)?,
        status,
        status_detail: detail.filter(|detail| !detail.is_empty()),
        registered_at: row.registered_at,
        last_heartbeat: contact.map(|contact| contact.at).max(row.last_seen),
        running: used.map_or(0, |used| count(used.live.len())),
        executed: row.executed,
        lent: row.lent,
        report: report.map(|report| shown(state, user, row, report)),
        allocated: used.map(|used| used.held.clone()).unwrap_or_default(),
        load: contact
            .filter(|_| state.is_connected(id))
            .and_then(|contact| contact.load),
    })
}

/// Returns the report without the names of projects that whoever asks may not see, unless they wrote them.
fn shown(state: &State, user: UserId, row: &Machine, report: &MachineReport) -> MachineReport {
    let mut report = report.clone();
    if row.owner != user {
        let admits = &mut report.admits;
        let lists = admits.projects.iter_mut();
        for names in lists.chain([&mut admits.not_projects]) {
            names.retain(|name| policy::project::find(state, user, row.org, name).is_ok());
        }
    }
    report
}

/// Returns why nothing is lent, where that is not plain from the word, and until when, where that is known.
fn pause_words(pause: &Pause) -> String {
    let by_hand = pause.by == PausedBy::Command && pause.reason.is_empty();
    match pause.until {
        None if by_hand => "until its owner resumes it".to_owned(),
        None => pause_reason(pause).to_owned(),
        Some(until) if by_hand => format!("until {until}"),
        Some(until) => format!("{}, until {until}", pause_reason(pause)),
    }
}
