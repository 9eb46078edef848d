//! A pass of the schedule.

use std::collections::BTreeSet;

use common::{
    id::{JobId, OrgId},
    org::retention::Retention,
    status::Priority,
    time::Timestamp,
};

use super::waiting;
use crate::{
    assign::GRACE,
    event::{
        Event, Preempted,
        pass::{PassEvent, ReservedBy},
    },
    schedule::{plan::plan, preempt::Taken},
    state::State,
};

/// Most jobs whose priority rises before anything is placed.
const MAX_RAISED: usize = 256;
/// Most lines of a priority that are looked at for that, those with the oldest jobs first.
const MAX_LINES_LOOKED: usize = 64;

pub(super) fn schedule(state: &State, at: Timestamp, most: u32) -> Vec<Event> {
    let due = state.volatile.due.iter();
    let rising = due.flat_map(|org| rising(state, *org, at));
    let raised: Vec<Event> = rising.take(MAX_RAISED).collect();
    if !raised.is_empty() {
        // Their orgs stay due: the next pass places by what they are then.
        return raised;
    }
    let plan = plan(state, at, most);
    let placed = plan
        .placements
        .into_iter()
        .map(|placement| Event::AttemptPlaced {
            attempt: placement.attempt,
            org: placement.org,
            machine: placement.machine,
            allocation: placement.allocation,
            gpu_models: placement.gpu_models,
            max_runtime: placement.max_runtime,
            strong: placement.strong,
            behind: placement.behind,
            at,
        });
    let returning = plan.returning.into_iter();
    let returning =
        returning.map(|(attempt, machine)| Event::AttemptReturning { attempt, machine });
    let kept = plan.kept.into_iter();
    let kept = kept.map(|(org, machine, job, begin)| PassEvent::MachineReserved {
        machine,
        org,
        job,
        begin,
        why: ReservedBy::Backfill,
    });
    let taken = plan.taken.into_iter();
    let taken = taken.flat_map(|(org, job, taken)| preempted(state, (org, job), taken, at));
    let looked = plan.looked.into_iter();
    let looked = looked.map(|(org, at, again)| PassEvent::PreemptionLooked { org, at, again });
    let released = plan.released.into_iter();
    let released = released.map(|(org, machine)| PassEvent::ReservationEnded { machine, org });
    let settled = plan
        .settled
        .into_iter()
        .map(|org| PassEvent::ScheduleSettled { org });
    // What this lets in is placed by the next pass.
    let let_in = waiting::settle(state, at, most);
    let placed = placed.chain(returning);
    let begun = placed.chain(released.chain(kept).map(Event::Pass));
    let ended = looked.chain(settled).map(Event::Pass);
    begun.chain(taken).chain(ended).chain(let_in).collect()
}

/// Returns that tasks give way to a job, and that their place is the job's.
fn preempted(state: &State, (org, job): (OrgId, JobId), taken: Taken, at: Timestamp) -> Vec<Event> {
    let machine = taken.machine;
    let leaving = taken.victims.iter();
    let checkpoints = leaving.filter_map(|(id, _)| state.jobs.get(&id.job)?.spec.checkpoint);
    let longest = checkpoints.map(|checkpoint| checkpoint.grace).max();
    let begin = at
        .saturating_add(longest.unwrap_or_default().as_duration())
        .saturating_add(GRACE.as_duration());
    let victims = taken.victims.into_iter();
    let stopped = victims.map(|(attempt, precedence)| Event::AttemptPreempted {
        attempt,
        machine,
        by: Preempted { job, precedence },
    });
    let kept = PassEvent::MachineReserved {
        machine,
        org,
        job,
        begin,
        why: ReservedBy::Preemption,
    };
    stopped.chain([Event::Pass(kept)]).collect()
}

/// Returns what waits in an org for so long that its priority rises by a step: of each member one job, and none for
/// as long after another one.
fn rising(state: &State, org: OrgId, at: Timestamp) -> Vec<Event> {
    let after = state.orgs.get(&org).map(|org| org.settings.raised_after);
    let (Some(queue), Some(after @ Retention::For(span))) = (state.index.queues.get(&org), after)
    else {
        return Vec::new();
    };
    let mut members = BTreeSet::new();
    let levels = queue.levels.iter();
    let levels = levels.filter(|(level, _)| level.0 != Priority::High);
    let oldest = levels.flat_map(|(_, level)| {
        let jobs = level.oldest();
        let jobs = jobs.filter_map(|(_, id)| Some((id, state.jobs.get(&id)?)));
        // Those behind came later, and nothing rises before it waited for so long.
        let old =
            jobs.take_while(|(_, job)| job.submitted_at.saturating_add(span.as_duration()) <= at);
        old.take(MAX_LINES_LOOKED)
    });
    let rises = oldest.filter_map(|(id, job)| {
        let (owner, progress) = (job.owner, state.progress.get(&id)?);
        let rises = progress.rises_at(job.spec.priority, after)?;
        let standing = state.standings.get(&(org, owner));
        let last = standing
            .map(|standing| standing.raised_at)
            .unwrap_or_default();
        let may = rises <= at && last.saturating_add(span.as_duration()) <= at;
        (may && members.insert(owner)).then_some(Event::JobRaised {
            job: id,
            org,
            owner,
            at,
        })
    });
    rises.collect()
}
