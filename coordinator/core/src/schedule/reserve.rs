//! Backfill (Lifka 1995; Mu'alem and Feitelson 2001): which machine is kept free for a job that comes first and finds no
//! room, and what may run there meanwhile.
//!
//! A task may start on a machine that is kept for another job if it surely ends before that job could start, or if it
//! leaves what that job needs then. When that will be follows from the run-time bounds of what runs; what has none is taken
//! to run as long again as it ran until now.

use std::time::Duration;

use common::{
    id::JobId,
    resources::{Allocation, Request},
    time::{Span, Timestamp},
};

use super::{
    feasible::{Ask, could_ever},
    view::MachineView,
};
use crate::{assign::GRACE, state::attempt::Attempt};

/// What a task takes besides its own run: until its data is there, and for its end.
const MARGIN: Duration = Duration::from_secs(60);
/// Least time that something without a bound is taken to run.
const LEAST_RUN: Duration = Duration::from_secs(60);

/// What is kept of a machine for another job, with all that runs there.
#[derive(Debug)]
pub(crate) struct Kept<'a> {
    pub(crate) job: JobId,
    pub(crate) request: &'a Request,
    pub(crate) running: Vec<Running>,
    /// When the job begins, where it needs other machines, too.
    pub(crate) together: Option<Timestamp>,
}

/// Something that runs on a machine.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    ends: Ends,
    pub(crate) allocation: Allocation,
}

/// When something ends, as far as that is known.
#[derive(Debug, Clone, Copy)]
enum Ends {
    /// It was told to.
    Stops,
    By(Timestamp),
    /// Nobody knows.
    Since(Timestamp),
}

impl Running {
    pub(crate) fn of(attempt: &Attempt) -> Self {
        let since = attempt.started_at.unwrap_or(attempt.placed_at);
        let running = Self::since(since, attempt.max_runtime, attempt.allocation.clone());
        match attempt.is_to_run() {
            true => running,
            false => Self {
                ends: Ends::Stops,
                ..running
            },
        }
    }

    pub(crate) fn since(
        since: Timestamp,
        max_runtime: Option<Span>,
        allocation: Allocation,
    ) -> Self {
        let end = max_runtime.map(|most| since.saturating_add(most.as_duration()));
        Self {
            ends: end.map_or(Ends::Since(since), Ends::By),
            allocation,
        }
    }

    /// Returns when it ends at the latest, or what is taken for that.
    fn end(&self, now: Timestamp) -> Timestamp {
        match self.ends {
            Ends::Stops => now.saturating_add(GRACE.as_duration()),
            Ends::By(end) => end.max(now),
            Ends::Since(since) => now.saturating_add(now.since(since).max(LEAST_RUN)),
        }
    }

    /// Returns whether it surely ends so soon.
    pub(super) fn ends_within(&self, most: Duration, now: Timestamp) -> bool {
        match self.ends {
            Ends::Since(_) => false,
            Ends::Stops | Ends::By(_) => self.end(now) <= now.saturating_add(most),
        }
    }
}

/// Returns whether a task with this allocation may start there now without being in the way of whom the machine is kept for.
pub(super) fn may_backfill(
    machine: &MachineView<'_>,
    ask: &Ask<'_>,
    allocation: &Allocation,
) -> bool {
    let Some(kept) = machine.kept.as_ref() else {
        return true;
    };
    // One's own machine is one's own first, whoever waits for it.
    if ask.job == Some(kept.job) || ask.owner == machine.owner {
        return true;
    }
    let Some((begin, late)) = begin_of(machine, kept.request, &kept.running, ask.now) else {
        return false;
    };
    let begin = kept.together.map_or(begin, |together| together.max(begin));
    let ends = ask
        .max_runtime
        .map(|most| ask.now.saturating_add(most.as_duration() + MARGIN));
    if ends.is_some_and(|end| end <= begin) {
        return true;
    }
    let offer = machine.report.map(|report| &report.offer);
    let both = offer.zip(late.checked_add(allocation));
    both.is_some_and(|(offer, both)| offer.fits_beside(&both, kept.request))
}

/// Returns for how long others may still use what is kept of the machine.
pub(super) fn kept_until(machine: &MachineView<'_>, now: Timestamp) -> Option<Span> {
    let kept = machine.kept.as_ref()?;
    let (begin, _) = begin_of(machine, kept.request, &kept.running, now)?;
    let begin = kept.together.map_or(begin, |together| together.max(begin));
    let left = begin.since(now).saturating_sub(MARGIN);
    Some(Span::from(left)).filter(|span| *span > Span::default())
}

impl MachineView<'_> {
    /// Returns when whom it is kept for can have it, as far as this machine goes.
    pub(super) fn had_by_kept(&self, now: Timestamp) -> Option<Timestamp> {
        let kept = self.kept.as_ref()?;
        let (begin, _) = begin_of(self, kept.request, &kept.running, now)?;
        Some(begin)
    }
}

/// Returns when the machine has room for the request, and what still runs there by then.
pub(super) fn begin_of(
    machine: &MachineView<'_>,
    request: &Request,
    running: &[Running],
    now: Timestamp,
) -> Option<(Timestamp, Allocation)> {
    let offer = &machine.report?.offer;
    let mut ends: Vec<(Timestamp, &Running)> = running
        .iter()
        .map(|running| (running.end(now), running))
        .collect();
    ends.sort_by_key(|(end, _)| *end);
    let nothing = Some(Allocation::default());
    let mut held = ends.iter().fold(nothing, |held, (_, running)| {
        held?.checked_add(&running.allocation)
    })?;
    let fits = |held: &Allocation| offer.fits_beside(held, request);
    if fits(&held) {
        return Some((now, held));
    }
    // What ends at the same moment goes together.
    for together in ends.chunk_by(|a, b| a.0 == b.0) {
        for (_, running) in together {
            held = held.checked_sub(&running.allocation)?;
        }
        if fits(&held) {
            return Some((together.first()?.0, held));
        }
    }
    None
}

/// Returns when the machine could be had, with what was placed on it just now, where it may be kept free for what is asked.
pub(super) fn could_be_kept(
    machine: &MachineView<'_>,
    ask: &Ask<'_>,
    placed: Vec<Running>,
) -> Option<Timestamp> {
    if machine.kept.is_some() || !could_have(machine, ask) {
        return None;
    }
    let mut running = machine.running();
    running.extend(placed);
    let (begin, _) = begin_of(machine, ask.request, &running, ask.now)?;
    Some(begin)
}

/// Returns whether nothing but what runs there is in the way of what is asked.
pub(super) fn could_have(machine: &MachineView<'_>, ask: &Ask<'_>) -> bool {
    let pause = machine.report.and_then(|report| report.paused.as_ref());
    let held = pause.is_some_and(|pause| ask.is_held_by(pause, machine));
    machine.connected
        && !held
        && machine.set_aside.is_none()
        && machine.report.is_some()
        && could_ever(machine, ask).is_ok()
}
