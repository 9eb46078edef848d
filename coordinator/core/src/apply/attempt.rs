//! Attempts: each change of one is a change of its machine's desired set.

use common::{
    id::{AttemptId, MachineId},
    job::ArtifactsView,
    status::EndReason,
    time::{Span, Timestamp},
};

use super::job;
use crate::{
    event::Event,
    lifecycle::attempt::{AttemptState, AttemptStep},
    state::{
        State,
        attempt::{Attempt, LogState},
        index::Parties,
        job::Job,
        pool, reserved, standing,
        trouble::{Sign, Trouble},
    },
};

pub(super) fn apply(state: &mut State, event: &Event) {
    match event {
        Event::AttemptPlaced {
            attempt: id,
            org,
            machine,
            allocation,
            gpu_models,
            max_runtime,
            strong,
            behind,
            at,
        } => {
            let attempt = Attempt {
                org: *org,
                machine: *machine,
                allocation: allocation.clone(),
                gpu_models: gpu_models.clone(),
                max_runtime: *max_runtime,
                strong: *strong,
                after: *behind,
                placed_at: *at,
                started_at: None,
                ended_at: None,
                state: match behind {
                    None => AttemptState::Placed,
                    Some(_) => AttemptState::Next,
                },
                artifacts: ArtifactsView::NotYet,
                artifacts_at: None,
                log: LogState::Growing,
                settled: None,
                next_memory: None,
                preempted: None,
                restore: state.left_before(*id),
            };
            job::change(state, id.job, |progress| match behind {
                None => progress.place(id.task, *at),
                Some(_) => progress.place_behind(id.task),
            });
            if behind.is_none() {
                reserved::placed(state, *org, id.job, *machine);
            }
            if let Some(row) = state.jobs.get(&id.job) {
                let parties = Parties::of(&state.machines, &attempt, row);
                state.index.attempt_in(*id, &attempt, parties);
            }
            state.attempts.insert(*id, attempt);
            desired_changed(state, *machine);
        }
        Event::AttemptReturning { attempt, machine } => {
            change(state, *attempt, |row| step(row, AttemptStep::Return));
            desired_changed(state, *machine);
        }
        Event::AttemptKept { attempt, machine } => {
            change(state, *attempt, |row| step(row, AttemptStep::Keep));
            desired_changed(state, *machine);
        }
        Event::AttemptReturned {
            attempt,
            org,
            machine,
            lender,
            next,
            at,
        } => {
            let before = take_out(state, *attempt);
            job::change(state, attempt.job, |progress| {
                progress.give_back(attempt.task, attempt.number);
            });
            pass_on(state, before, *next, *at);
            state.volatile.due.insert(*org);
            state.first(*org, *lender);
            desired_changed(state, *machine);
        }
        Event::AttemptPreparing { attempt } => {
            change(state, *attempt, |row| step(row, AttemptStep::Prepare));
        }
        Event::AttemptStarted { attempt, at } => {
            change(state, *attempt, |row| {
                step(row, AttemptStep::Start);
                row.started_at = Some(*at);
            });
            job::change(state, attempt.job, |progress| {
                progress.started_at.get_or_insert(*at);
            });
        }
        Event::AttemptStopping {
            attempt,
            machine,
            reason,
        } => {
            change(state, *attempt, |row| {
                step(row, AttemptStep::Stop { reason: *reason });
            });
            desired_changed(state, *machine);
        }
        Event::AttemptPreempted {
            attempt,
            machine,
            by,
        } => {
            let reason = EndReason::Preempted;
            change(state, *attempt, |row| {
                step(row, AttemptStep::Stop { reason });
                row.preempted = Some(*by);
            });
            desired_changed(state, *machine);
        }
        Event::AttemptEnded {
            attempt,
            org,
            machine,
            lender,
            at,
            outcome,
            artifacts,
            log,
            fate,
            usage,
            next,
        } => {
            let before = state.attempts.get(attempt).and_then(|row| row.after);
            change(state, *attempt, |row| {
                step(row, AttemptStep::End(outcome.clone()));
                row.after = None;
                row.ended_at = Some(*at);
                row.settled = Some((**usage).clone());
                row.artifacts = *artifacts;
                row.log = *log;
                row.next_memory = fate.memory();
            });
            let started = state.attempts.get(attempt).and_then(|row| row.started_at);
            let parallel = state.jobs.get(&attempt.job).and_then(Job::parallel);
            job::change(state, attempt.job, |progress| {
                // What could not have started before has waited from now on.
                if !progress.is_ready(parallel) {
                    progress.waits_since = *at;
                }
                progress.end_attempt(attempt.task, *fate);
                if started.is_some() {
                    progress.following.note(usage.wall_ms);
                }
            });
            pass_on(state, before, *next, *at);
            standing::charge(state, *org, *lender, usage, *at);
            let job = state.jobs.get(&attempt.job);
            if let (Some(row), Some(job)) = (state.machines.get_mut(machine), job) {
                let sign = Sign::of(outcome, job, row.owner);
                row.troubles.note(sign, Trouble::of(job, *at));
                if let Some(started) = started {
                    row.activity.note(started, *at);
                }
                row.executed += 1;
                let lent = row.lent.as_duration() + outcome.usage.wall.as_duration();
                row.lent = Span::from(lent);
                state.volatile.due.insert(row.org);
                state.first(*org, *lender);
            }
            desired_changed(state, *machine);
        }
        Event::ArtifactsSettled {
            attempt,
            machine,
            artifacts,
            at,
        } => {
            change(state, *attempt, |row| {
                row.artifacts = *artifacts;
                row.artifacts_at = Some(*at);
            });
            desired_changed(state, *machine);
        }
        Event::LogSettled {
            attempt,
            machine,
            log,
        } => {
            change(state, *attempt, |row| row.log = *log);
            desired_changed(state, *machine);
        }
        _ => {}
    }
}

pub(super) fn change(state: &mut State, id: AttemptId, change: impl FnOnce(&mut Attempt)) {
    let (Some(job), Some(attempt)) = (state.jobs.get(&id.job), state.attempts.get_mut(&id)) else {
        return;
    };
    let parties = Parties::of(&state.machines, attempt, job);
    state.index.attempt_out(id, attempt, parties);
    change(attempt);
    state.index.attempt_in(id, attempt, parties);
}

/// Deletes an attempt that came to nothing. Returns behind which one it waited.
fn take_out(state: &mut State, id: AttemptId) -> Option<AttemptId> {
    let (job, attempt) = (state.jobs.get(&id.job)?, state.attempts.remove(&id)?);
    let parties = Parties::of(&state.machines, &attempt, job);
    state.index.attempt_out(id, &attempt, parties);
    attempt.after
}

/// Puts who waited behind an attempt where that was: behind the same one, or into its place.
fn pass_on(state: &mut State, before: Option<AttemptId>, next: Option<AttemptId>, at: Timestamp) {
    let Some(next) = next else {
        return;
    };
    change(state, next, |row| {
        row.after = before;
        row.placed_at = at;
    });
    if before.is_none() {
        job::change(state, next.job, |progress| {
            progress.take_over(next.task, at)
        });
    }
}

fn step(attempt: &mut Attempt, step: AttemptStep) {
    if let Ok(after) = attempt.state.transition(step) {
        attempt.state = after;
    }
}

fn desired_changed(state: &mut State, machine: MachineId) {
    if let Some(row) = state.machines.get_mut(&machine) {
        row.generation += 1;
    }
    pool::held_changed(state, machine);
}
