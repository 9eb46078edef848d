//! Machines as people see them.

use std::{cell::OnceCell, collections::BTreeSet};

use common::{
    api::{
        MAX_ROWS,
        machine::{Lately, MachineExplanation},
        page::Page,
    },
    id::{MachineId, OrgId, UserId},
    job::JobNumber,
    machine::{
        CachedDataset, MAX_CACHED_SHOWN, MachineReport, MachineView, Pause, PausedBy, SetAsideView,
        UnseenProjects,
    },
    name::Name,
    status::MachineStatus,
    time::{Span, Timestamp},
};

use super::{
    Presence, count, handle, of_org,
    page::{after, page},
};
use crate::{
    decide::{find_job, find_machine},
    lifecycle::machine::MachineState,
    policy::{self, Action, permit},
    rejection::Rejection,
    schedule::explain::{
        machine::{obstacles, waiting},
        pause_reason,
    },
    state::{State, activity::Activity, machine::Machine, trouble::SetAside},
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
    let seen = ProjectsSeen::by(state, user, org);
    let listed = state.index.listed.machines.get(&org).into_iter();
    let listed = listed.flat_map(|listed| listed.range::<(Name, MachineId), _>(after(last)));
    page(MAX_ROWS, listed, Clone::clone, |(_, id)| {
        let row = state.machines.get(id);
        row.map(|row| view(state, presence, &seen, *id, row))
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
    let seen = ProjectsSeen::by(state, user, org);
    let view = view(state, presence, &seen, id, row)?;
    let cached = match &view.report {
        Some(report) => cached(state, user, org, report)?,
        None => Vec::new(),
    };
    Ok(MachineView { cached, ..view })
}

/// Why a machine gets nothing, for its owner and admins.
pub(super) fn explain(
    state: &State,
    now: Timestamp,
    user: UserId,
    org: OrgId,
    name: &Name,
) -> Result<MachineExplanation, Rejection> {
    permit(state, org, user, Action::ExplainOwnMachine)?;
    let (id, row) = find_machine(state, org, name)?;
    if row.owner != user {
        permit(state, org, user, Action::ExplainAnyMachine)?;
    }
    let used = of_org(&state.index.members, org);
    let queued: u64 = used.map(|(_, used)| used.queued).sum();
    let waiting = waiting(state, now, id, row);
    Ok(MachineExplanation {
        machine: row.name.clone(),
        status: status(state, id, row),
        obstacles: obstacles(state, id, row),
        lately: lately(state, now, id, row),
        waiting: waiting.tasks,
        not_ready: queued.saturating_sub(waiting.tasks),
        classes: waiting.classes,
        classes_left_out: waiting.left_out,
    })
}

fn lately(state: &State, now: Timestamp, id: MachineId, row: &Machine) -> Lately {
    let since = Activity::since(now);
    let used = state.index.machines.get(&id);
    let live = used.into_iter().flat_map(|used| &used.live);
    let started = live.filter_map(|id| state.attempts.get(id)?.started_at);
    let (tasks, mut busy) = row.activity.sums(now);
    for moment in started {
        let so_far = now.since(moment.max(since));
        busy = Span::from(busy.as_duration().saturating_add(so_far));
    }
    Lately {
        since,
        tasks,
        running: used.map_or(0, |used| count(used.live.len())),
        busy,
    }
}

/// Returns the datasets that a machine has and the user may read.
fn cached(
    state: &State,
    user: UserId,
    org: OrgId,
    report: &MachineReport,
) -> Result<Vec<CachedDataset>, Rejection> {
    let role = policy::member(state, org, user)?.role;
    let names = state.index.dataset_names.get(&org).into_iter().flatten();
    let rows = names.filter_map(|(name, id)| Some((name, state.datasets.get(id)?)));
    let readable = rows.filter(|(_, row)| policy::may_read_dataset(state, user, role, row));
    let versions = readable.flat_map(|(name, row)| {
        let there = row
            .living()
            .filter(|(_, version)| report.cached.binary_search(&version.tree).is_ok());
        there.map(move |(number, version)| CachedDataset {
            name: name.clone(),
            version: number,
            bytes: version.bytes,
        })
    });
    Ok(versions.take(MAX_CACHED_SHOWN).collect())
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
        MachineState::Approved { .. } if row.set_aside.is_some() => MachineStatus::SetAside,
        MachineState::Approved { .. } if live => MachineStatus::Busy,
        MachineState::Approved { .. } => MachineStatus::Available,
    }
}

fn view(
    state: &State,
    presence: &Presence<'_>,
    seen: &ProjectsSeen<'_>,
    id: MachineId,
    row: &Machine,
) -> Result<MachineView, Rejection> {
    let report = state.reports.get(&id);
    let (told, unseen) = report.map(|report| seen.told(row, report)).unzip();
    let used = state.index.machines.get(&id);
    let contact = presence.contacts.get(&id);
    let status = status(state, id, row);
    let pause = report.and_then(|report| report.paused.as_ref());
    let detail = match (&row.state, pause) {
        (MachineState::Rejected { reason, .. }, _) => Some(reason.clone()),
        (_, Some(pause)) if status == MachineStatus::Paused => Some(pause_words(pause)),
        _ => row
            .set_aside
            .as_ref()
            .filter(|_| status == MachineStatus::SetAside)
            .map(SetAside::words),
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
        report: told,
        unseen: unseen.unwrap_or_default(),
        allocated: used.map(|used| used.held.clone()).unwrap_or_default(),
        load: contact
            .filter(|_| state.is_connected(id))
            .and_then(|contact| contact.load),
        cached: Vec::new(),
        set_aside: row.set_aside.as_ref().map(|aside| seen.aside(row, aside)),
        labels: row.labels.clone(),
    })
}

/// Whoever asks, and the names of the org's projects that they may see: worked out once for all machines, where one
/// names any.
struct ProjectsSeen<'a> {
    state: &'a State,
    user: UserId,
    org: OrgId,
    names: OnceCell<BTreeSet<&'a Name>>,
}

impl<'a> ProjectsSeen<'a> {
    const fn by(state: &'a State, user: UserId, org: OrgId) -> Self {
        Self {
            state,
            user,
            org,
            names: OnceCell::new(),
        }
    }

    /// Returns why a machine is set aside, with the jobs that may be named.
    fn aside(&self, row: &Machine, aside: &SetAside) -> SetAsideView {
        let numbers = aside.after.iter().copied();
        let shown = |number: &JobNumber| {
            row.owner == self.user || find_job(self.state, self.user, self.org, *number).is_ok()
        };
        SetAsideView {
            since: aside.since,
            until: aside.until,
            on_trial: aside.tried.is_some(),
            after: numbers.filter(shown).collect(),
            text: aside.words(),
        }
    }

    fn names(&self) -> &BTreeSet<&'a Name> {
        self.names.get_or_init(|| {
            let names = self.state.index.project_names.get(&self.org);
            let named = names.into_iter().flatten();
            let seen = |id| policy::project::access(self.state, id, self.user).is_some();
            named
                .filter(|(_, id)| seen(**id))
                .map(|(name, _)| name)
                .collect()
        })
    }

    /// Returns the report without the names of projects that whoever asks may not see, unless they wrote them, and
    /// where there were some.
    fn told(&self, row: &Machine, report: &MachineReport) -> (MachineReport, UnseenProjects) {
        let mut report = report.clone();
        let mut unseen = UnseenProjects::default();
        if row.owner != self.user {
            let admits = &mut report.admits;
            if let Some(names) = &mut admits.projects {
                unseen.let_in = self.withhold(names);
            }
            unseen.kept_out = self.withhold(&mut admits.not_projects);
        }
        (report, unseen)
    }

    /// Leaves what may be seen; returns whether there was more.
    fn withhold(&self, names: &mut Vec<Name>) -> bool {
        let all = names.len();
        names.retain(|name| self.names().contains(name));
        names.len() < all
    }
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
