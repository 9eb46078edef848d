//! Jobs and how far they are.

use common::{id::JobId, units::Bytes};

use crate::{
    event::Event,
    lifecycle::job::JobStep,
    schedule::data,
    state::{
        State,
        job::{Job, JobProgress},
        reserved,
        specification::Specification,
        waiting::{Awaited, Hold},
    },
};

pub(super) fn apply(state: &mut State, event: &Event) {
    match event {
        Event::JobSubmitted {
            job: id,
            org,
            number,
            owner,
            project,
            visibility,
            key,
            spec,
            pinned,
            pinned_image,
            pinned_artifacts,
            awaits,
            rerun,
            at,
        } => {
            let mut job = Job {
                org: *org,
                number: *number,
                owner: *owner,
                project: *project,
                visibility: *visibility,
                key: *key,
                spec: Specification::from((**spec).clone()),
                pinned: pinned.clone().into(),
                pinned_image: pinned_image.clone().into(),
                pinned_artifacts: pinned_artifacts.clone().into(),
                data: Bytes::ZERO,
                submitted_at: *at,
                rerun: *rerun,
                login_forgotten: false,
            };
            if let Some((_, before)) = state.jobs.last() {
                job.spec.share(&before.spec);
            }
            job.data = data::cached_by(state, &job);
            let held = job.spec.hold.then_some(Hold {
                by: *owner,
                at: *at,
            });
            let progress = JobProgress {
                awaits: awaits.clone().into(),
                held: held.into(),
                ..JobProgress::of(&job, *at)
            };
            if let Some(row) = state.orgs.get_mut(org) {
                row.next_job_number = number.0 + 1;
            }
            state.index.job_numbers.insert((*org, *number), *id);
            state.index.keys.insert((*owner, *key), *id);
            state.index.job_in(*id, &job, &progress);
            state.index.sent_in(&job);
            state.index.rerun_in(*id, &job);
            state.index.reader_in(*id, &job);
            state.jobs.insert(*id, job);
            state.progress.insert(*id, progress);
            settling_changed(state, awaits);
            state.volatile.due.insert(*org);
            state.first(*org, *owner);
        }
        Event::JobCancelled { job } => change(state, *job, |progress| {
            if let Ok(after) = progress.state.transition(JobStep::Cancel) {
                progress.state = after;
            }
            progress.cancel_all_queued();
        }),
        Event::TaskCancelled { job, task } => {
            change(state, *job, |progress| progress.cancel_queued_task(*task));
        }
        Event::JobRaised {
            job,
            org,
            owner,
            at,
        } => {
            change(state, *job, |progress| {
                progress.raised = progress.raised.saturating_add(1);
            });
            if state.members.contains_key(&(*org, *owner)) {
                let standing = state.standings.entry((*org, *owner)).or_default();
                standing.raised_at = *at;
            }
        }
        Event::RetriesDue { job, org, tasks } => {
            change(state, *job, |progress| progress.release(tasks));
            state.volatile.due.insert(*org);
        }
        Event::JobEnded { job, result, at } => {
            change(state, *job, |progress| {
                if let Ok(after) = progress.state.transition(JobStep::End(*result)) {
                    progress.state = after;
                    progress.ended_at = Some(*at);
                    progress.awaits = Vec::new().into();
                    progress.held = None.into();
                }
            });
            let ended = state
                .progress
                .get(job)
                .is_some_and(|p| p.ended_at.is_some());
            if let Some(row) = state.jobs.get(job).filter(|_| ended) {
                state.index.reader_out(*job, row);
            }
        }
        Event::LoginForgotten { job } => {
            if let Some(row) = state.jobs.get_mut(job) {
                row.spec.forget_login();
                row.login_forgotten = true;
            }
        }
        _ => {}
    }
}

/// Changes how far a job is, and what follows from it.
pub(super) fn change(state: &mut State, id: JobId, change: impl FnOnce(&mut JobProgress)) {
    let (Some(job), Some(progress)) = (state.jobs.get(&id), state.progress.get_mut(&id)) else {
        return;
    };
    let (org, owner, parallel) = (job.org, job.owner, job.parallel());
    let was_ready = progress.is_ready(parallel);
    state.index.job_out(id, job, progress);
    let awaited = progress.awaits.clone();
    change(progress);
    state.index.job_in(id, job, progress);
    let is_ready = progress.is_ready(parallel);
    state.index.note_settling(id, progress);
    match (was_ready, is_ready) {
        (false, true) => state.first(org, owner),
        (true, false) => reserved::end_of_job(state, org, id),
        _ => {}
    }
    settling_changed(state, &awaited);
}

/// Looks again at jobs that another one waited for until now, or waits for from now on.
fn settling_changed(state: &mut State, awaited: &[Awaited]) {
    for Awaited { job, .. } in awaited {
        if let Some(progress) = state.progress.get(job) {
            state.index.note_settling(*job, progress);
        }
    }
}
