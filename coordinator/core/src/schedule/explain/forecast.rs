//! When a machine should be free, by the run-time limits of what runs now. Ignores those who come first.

use common::{id::AttemptId, resources::Allocation, time::Timestamp};

use super::Inquiry;
use crate::{
    bounds::{Bounds, Kind},
    schedule::{
        feasible::{Obstacle, could_ever, may_place},
        view::MachineView,
    },
    state::attempt::Attempt,
};

/// Returns the earliest moment at which nothing known is in the way, `None` where that cannot be told.
pub(super) fn expected_start(inquiry: &Inquiry<'_>, now: Timestamp) -> Option<Timestamp> {
    let machines = inquiry.machines.iter();
    let mut free: Vec<Timestamp> = machines
        .filter_map(|machine| free_on(inquiry, machine, now))
        .collect();
    free.sort_unstable();
    let last = free.get(inquiry.together() - 1)?;
    Some((*last).max(turn(inquiry, now)?))
}

/// Returns when the machine has enough free.
fn free_on(inquiry: &Inquiry<'_>, machine: &MachineView<'_>, now: Timestamp) -> Option<Timestamp> {
    let report = machine.report?;
    if !machine.connected || could_ever(machine, &inquiry.ask).is_err() {
        return None;
    }
    // Which attempts give up GPUs of the right model cannot be told from which GPUs the task would take.
    let obstacles = may_place(machine, &inquiry.ask).err().unwrap_or_default();
    // Nor can it be told who else is served before a machine is kept for nobody any more.
    if obstacles.contains(&Obstacle::WholeLimit) {
        return None;
    }
    if obstacles.contains(&Obstacle::ModelLimit) || obstacles.contains(&Obstacle::Reserved) {
        return None;
    }
    // Paused without end, nobody can tell.
    let pause = report.paused.as_ref();
    let resumed = match pause.filter(|pause| inquiry.ask.is_held_by(pause, machine)) {
        None => now,
        Some(pause) => pause.until?.max(now),
    };
    // Who tries it first, nobody can tell.
    let resumed = match machine.set_aside {
        None => resumed,
        Some(aside) => resumed.max(aside.waking()?),
    };
    let used = inquiry.state.index.machines.get(&machine.id);
    let mut held = used.map(|used| used.held.clone()).unwrap_or_default();
    let fits = |held: &Allocation| report.offer.fits_beside(held, inquiry.ask.request);
    if fits(&held) {
        return Some(resumed);
    }
    let mut ends = ends(inquiry, used.into_iter().flat_map(|used| &used.live), now);
    ends.sort_by_key(|(end, id, _)| (*end, *id));
    for (end, _, attempt) in ends {
        held = held.checked_sub(&attempt.allocation)?;
        if fits(&held) {
            return Some(end.max(resumed));
        }
    }
    None
}

/// Returns when enough has ended for the limits on member and org to allow a start.
fn turn(inquiry: &Inquiry<'_>, now: Timestamp) -> Option<Timestamp> {
    let mut reached = inquiry.reached.iter();
    if inquiry.reached.is_empty() {
        return Some(now);
    }
    if reached.any(|reached| reached.kind != Kind::ForNow) {
        return None;
    }
    let (state, subject) = (inquiry.state, &inquiry.subject);
    let member = (subject.org, subject.owner);
    let held = state.index.orgs.get(&subject.org).map(|used| &used.held);
    let mut held = held.cloned().unwrap_or_default();
    let mut own = state
        .index
        .members
        .get(&member)
        .cloned()
        .unwrap_or_default();
    let own_limits = state.own_limits.get(&member);
    let tasks = subject.spec.gang().unwrap_or(1);
    let most = inquiry.limits.max_concurrent_jobs_per_user;
    let live = inquiry.machines.iter().flat_map(|machine| {
        let used = state.index.machines.get(&machine.id);
        used.into_iter().flat_map(|used| &used.live)
    });
    let mut ends = ends(inquiry, live, now);
    ends.sort_by_key(|(end, id, _)| (*end, *id));
    for (end, id, attempt) in ends {
        held.take(&attempt.allocation, &attempt.gpu_models);
        if state
            .jobs
            .get(&id.job)
            .is_some_and(|job| job.owner == subject.owner)
        {
            own.running = own.running.saturating_sub(1);
            own.held.take(&attempt.allocation, &attempt.gpu_models);
        }
        let limits = Some(&inquiry.limits);
        let bounds = Bounds::with(limits, own_limits, Some(&held), Some(&own));
        let fits = |most: u32| own.running.saturating_add(tasks) <= most;
        if most.is_none_or(fits) && bounds.admit(inquiry.ask.request, tasks) {
            return Some(end);
        }
    }
    None
}

/// Returns when each of these attempts has to end, without those that need not.
fn ends<'a>(
    inquiry: &'a Inquiry<'_>,
    live: impl Iterator<Item = &'a AttemptId>,
    now: Timestamp,
) -> Vec<(Timestamp, AttemptId, &'a Attempt)> {
    live.filter_map(|id| {
        let attempt = inquiry.state.attempts.get(id)?;
        let start = attempt.started_at.unwrap_or(attempt.placed_at);
        let end = start.saturating_add(attempt.max_runtime?.as_duration());
        Some((end.max(now), *id, attempt))
    })
    .collect()
}
