//! What becomes of a task whose attempt failed: whether it is tried again, when, and with how much memory.
//!
//! What a machine or its owner did, or a job to which it gave way, says nothing of the next one: the task waits in the
//! queue at once, and after a machine's own doing another one comes first. Everything else may happen there too, so that the next try waits, each time twice as long. No
//! jitter: what is due waits in the queue like all else, and never arrives anywhere together.

use common::{
    id::AttemptId,
    job::{ArtifactsView, Outcome, Retries},
    limits::Limits,
    resources::Request,
    status::EndReason,
    time::Timestamp,
    units::Bytes,
};

use super::checkpoint;
use crate::{
    event::TaskFate,
    lifecycle::attempt::AttemptState,
    schedule::explain::{Subject, is_never, most_memory},
    state::{State, attempt::Attempt, job::Job},
};

/// Most machines that owners may take back from one task without it counting as a try.
const MAX_GIVEN_BACK: u32 = 100;

/// Decides on a task whose attempt failed, at that moment and with these files. Adds to the outcome what a person should know besides.
pub(super) fn fate(
    state: &State,
    (at, artifacts): (Timestamp, ArtifactsView),
    (id, attempt): (AttemptId, &Attempt),
    job: &Job,
    outcome: &mut Outcome,
) -> TaskFate {
    let (retries, after) = (&job.spec.retries, outcome.reason);
    if !may_try_again(state, (id, attempt), retries, after) {
        return TaskFate::Failed;
    }
    if !after.delays_retry() {
        return match checkpoint::until(job, artifacts, at) {
            None => TaskFate::Requeued,
            Some(until) => TaskFate::Delayed {
                until,
                after,
                memory: None,
            },
        };
    }
    let memory = match retries.memory {
        Some(factor) if after == EndReason::OutOfMemory => {
            let had = attempt.allocation.memory;
            match more_memory(state, id, job, had, factor.of(had)) {
                Ok(memory) => Some(memory),
                Err(why) => {
                    let told = outcome.detail.take();
                    let told = told.map(|told| format!("{told}; {why}"));
                    outcome.detail = Some(told.unwrap_or(why));
                    return TaskFate::Failed;
                }
            }
        }
        _ => None,
    };
    let tries = 1 + ended(state, id, EndReason::delays_retry);
    TaskFate::Delayed {
        until: at.saturating_add(retries.wait(tries).as_duration()),
        after,
        memory,
    }
}

/// Returns whether the task is tried again. A machine whose owner took it back was no try, as long as that
/// does not go on for ever; nor was one that gave way to another job, of which only the coordinator can say so.
fn may_try_again(
    state: &State,
    (id, attempt): (AttemptId, &Attempt),
    retries: &Retries,
    reason: EndReason,
) -> bool {
    let given_back = ended(state, id, |reason| reason == EndReason::MachineOwner);
    let again = match reason {
        EndReason::MachineOwner => retries.max > 0 && given_back < MAX_GIVEN_BACK,
        EndReason::Preempted if attempt.preempted.is_some() => retries.max > 0,
        // Numbers are left out where one was returned before it began.
        _ => {
            let tries = 1 + ended(state, id, |_| true);
            tries.saturating_sub(given_back + state.gave_way(id)) <= retries.max
        }
    };
    again && retries.covers(reason)
}

/// Returns how many earlier attempts of the task ended so.
fn ended(state: &State, id: AttemptId, so: impl Fn(EndReason) -> bool) -> u32 {
    let ended = state.earlier(id).filter(|attempt| match &attempt.state {
        AttemptState::Ended(outcome) => so(outcome.reason),
        _ => false,
    });
    u32::try_from(ended.count()).unwrap_or(u32::MAX)
}

/// Returns what the next try asks for: as much as is wanted, or as much as there is to be had.
///
/// # Errors
/// There is no more than it had; why, in words.
fn more_memory(
    state: &State,
    id: AttemptId,
    job: &Job,
    had: Bytes,
    wanted: Bytes,
) -> Result<Bytes, String> {
    let none = "there was no try with more memory";
    let default = Limits::default();
    let limits = state.orgs.get(&job.org).map_or(&default, |org| &org.limits);
    let allowed = limits
        .max_job_memory
        .map_or(wanted, |most| most.min(wanted));
    if let Some(most) = limits.max_job_memory.filter(|_| allowed <= had) {
        return Err(format!("{none}: the org's max_job_memory is {most}"));
    }
    let Some(progress) = state.progress.get(&id.job) else {
        return Err(none.to_owned());
    };
    let subject = Subject::of(id.job, job, progress);
    let lent = most_memory(state, &subject, allowed);
    if lent <= had {
        return Err(format!(
            "{none}: no machine that it could run on lends more than {}",
            lent.max(had)
        ));
    }
    let spec = job.spec.asking(Request {
        memory: lent,
        ..job.spec.request.clone()
    });
    let subject = Subject {
        spec: &spec,
        ..subject
    };
    match is_never(state, &subject) {
        true => Err(format!("{none}: limits let no task hold {lent}")),
        false => Ok(lent),
    }
}
