//! When a machine should be free, by the run-time limits of what runs now. Ignores those who come first.

use common::{id::AttemptId, resources::Allocation, time::Timestamp};

use super::Inquiry;
use crate::{
    schedule::{feasible::could_ever, view::MachineView},
    state::attempt::Attempt,
};

/// Returns the earliest moment at which nothing known is in the way, `None` where that cannot be told.
pub(super) fn expected_start(inquiry: &Inquiry<'_>, now: Timestamp) -> Option<Timestamp> {
    let machines = inquiry.view.machines.iter();
    let earliest = machines
        .filter_map(|machine| free_on(inquiry, machine, now))
        .min()?;
    Some(earliest.max(turn_of_member(inquiry, now)?))
}

/// Returns when the machine has enough free.
fn free_on(inquiry: &Inquiry<'_>, machine: &MachineView<'_>, now: Timestamp) -> Option<Timestamp> {
    let report = machine.report?;
    if !machine.connected || could_ever(machine, &inquiry.ask).is_err() {
        return None;
    }
    // Paused without end, nobody can tell.
    let pause = report.paused.as_ref();
    let resumed = match pause.filter(|pause| inquiry.ask.is_held_by(pause, machine)) {
        None => now,
        Some(pause) => pause.until?.max(now),
    };
    let used = inquiry.state.index.machines.get(&machine.id);
    let mut held = used.map(|used| used.held.clone()).unwrap_or_default();
    let fits = |held: &Allocation| {
        report
            .offer
            .minus(held)
            .allocate(inquiry.ask.request)
            .is_ok()
    };
    if fits(&held) {
        return Some(resumed);
    }
    let mut ends = ends(inquiry, used.into_iter().flat_map(|used| &used.live), now);
    ends.sort_by_key(|(end, _)| *end);
    for (end, attempt) in ends {
        held = held.checked_sub(&attempt.allocation)?;
        if fits(&held) {
            return Some(end.max(resumed));
        }
    }
    None
}

/// Returns when fewer of the member's tasks run than may.
fn turn_of_member(inquiry: &Inquiry<'_>, now: Timestamp) -> Option<Timestamp> {
    let Some(most) = inquiry.limits.max_concurrent_jobs_per_user else {
        return Some(now);
    };
    let Some(over) = inquiry.running().checked_sub(most) else {
        return Some(now);
    };
    let state = inquiry.state;
    let live = inquiry.view.machines.iter().flat_map(|machine| {
        let used = state.index.machines.get(&machine.id);
        used.into_iter().flat_map(|used| &used.live)
    });
    let own = live.filter(|id| {
        let job = state.jobs.get(&id.job);
        job.is_some_and(|job| job.owner == inquiry.subject.owner)
    });
    let mut ends: Vec<Timestamp> = ends(inquiry, own, now)
        .into_iter()
        .map(|(end, _)| end)
        .collect();
    ends.sort();
    ends.get(usize::try_from(over).ok()?).copied()
}

/// Returns when each of these attempts has to end, without those that need not.
fn ends<'a>(
    inquiry: &'a Inquiry<'_>,
    live: impl Iterator<Item = &'a AttemptId>,
    now: Timestamp,
) -> Vec<(Timestamp, &'a Attempt)> {
    live.filter_map(|id| {
        let attempt = inquiry.state.attempts.get(id)?;
        let start = attempt.started_at.unwrap_or(attempt.placed_at);
        let end = start.saturating_add(attempt.max_runtime?.as_duration());
        Some((end.max(now), attempt))
    })
    .collect()
}
