//! What a task left when it was tried before, where its job can go on from there: the next try waits until that has come.

use std::time::Duration;

use common::{
    id::{AttemptId, JobId},
    job::ArtifactsView,
    time::Timestamp,
};

use crate::{
    event::{Event, waiting::WaitingEvent},
    state::{State, job::Job},
};

/// Longest that a task waits for what its last try left. Then it begins with what came before that.
pub(crate) const FILES_WAIT: Duration = Duration::from_secs(3600);

/// Returns until when a task waits that would be tried again at once, where what its last try left is on its way.
pub(super) fn until(job: &Job, artifacts: ArtifactsView, at: Timestamp) -> Option<Timestamp> {
    let waits = job.spec.checkpoint.is_some() && artifacts == ArtifactsView::Pending;
    waits.then(|| at.saturating_add(FILES_WAIT))
}

/// Returns what becomes of tasks of a job whose moment has come: they enter the queue, unless they have to wait for what
/// their last try left; those of a gang together.
pub(super) fn due(
    state: &State,
    at: Timestamp,
    (id, job): (JobId, &Job),
    tasks: Vec<u32>,
) -> Vec<Event> {
    let until = |task: &u32| pending(state, id, *task).filter(|until| *until > at);
    let (mut waiting, mut tasks): (Vec<u32>, Vec<u32>) = match job.spec.checkpoint {
        None => (Vec::new(), tasks),
        Some(_) => tasks.into_iter().partition(|task| until(task).is_some()),
    };
    let latest = waiting.iter().filter_map(until).max();
    if job.spec.gang().is_some() && latest.is_some() {
        waiting.append(&mut tasks);
        waiting.sort_unstable();
    }
    let put_off = latest.map(|until| {
        Event::Waiting(WaitingEvent::RetriesPutOff {
            job: id,
            tasks: waiting,
            until,
        })
    });
    let due = (!tasks.is_empty()).then_some(Event::RetriesDue {
        job: id,
        org: job.org,
        tasks,
    });
    put_off.into_iter().chain(due).collect()
}

/// Returns that tasks wait no longer, where what this attempt left was all that they waited for.
pub(super) fn came(state: &State, id: AttemptId) -> Option<Event> {
    let job = state.jobs.get(&id.job)?;
    job.spec.checkpoint?;
    // No other wait is as long as this one.
    let put_off = state
        .attempts
        .get(&id)?
        .ended_at?
        .saturating_add(FILES_WAIT);
    let progress = state.progress.get(&id.job)?;
    let waiting = progress.delayed.iter().filter(|(task, until, _)| {
        *until >= put_off && (job.spec.gang().is_some() || *task == id.task)
    });
    let tasks: Vec<u32> = waiting.map(|(task, ..)| task).collect();
    let more = tasks.iter().any(|task| {
        state
            .newest_attempt(id.job, *task)
            .is_some_and(|(newest, row)| newest != id && row.artifacts == ArtifactsView::Pending)
    });
    (!tasks.is_empty() && !more).then_some(Event::RetriesDue {
        job: id.job,
        org: job.org,
        tasks,
    })
}

/// Returns until when what the last try of a task left is waited for, where that is on its way.
fn pending(state: &State, job: JobId, task: u32) -> Option<Timestamp> {
    let (_, row) = state.newest_attempt(job, task)?;
    let pending = row.artifacts == ArtifactsView::Pending;
    Some(row.ended_at?.saturating_add(FILES_WAIT)).filter(|_| pending)
}
