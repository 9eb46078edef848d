//! Jobs and how far they are.

use common::{id::JobId, units::Bytes};

use crate::{
    event::Event,
    lifecycle::job::JobStep,
    schedule::data,
    state::{
        State,
        job::{Job, JobProgress},
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
            at,
        } => {
            let mut job = Job {
                org: *org,
                number: *number,
                owner: *owner,
                project: *project,
                visibility: *visibility,
                key: *key,
                spec: (**spec).clone(),
                pinned: pinned.clone(),
                pinned_image: pinned_image.clone(),
                pinned_artifacts: pinned_artifacts.clone(),
                data: Bytes::ZERO,
                submitted_at: *at,
            };
            job.data = data::cached_by(state, &job);
            let (first, last) = job.bounds();
            let progress = JobProgress::new(first, last);
            if let Some(row) = state.orgs.get_mut(org) {
                row.next_job_number = number.0 + 1;
            }
            state.index.job_numbers.insert((*org, *number), *id);
            state.index.keys.insert((*owner, *key), *id);
            state.index.job_in(*id, &job, &progress);
            state.index.workdir_in(&job);
            state.index.reader_in(*id, &job);
            state.jobs.insert(*id, job);
            state.progress.insert(*id, progress);
            state.volatile.due.insert(*org);
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
        Event::RetriesDue { job, org, tasks } => {
            change(state, *job, |progress| progress.release(tasks));
            state.volatile.due.insert(*org);
        }
        Event::JobEnded { job, result, at } => {
            change(state, *job, |progress| {
                if let Ok(after) = progress.state.transition(JobStep::End(*result)) {
                    progress.state = after;
                    progress.ended_at = Some(*at);
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
                row.spec.registry_login = None;
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
    state.index.job_out(id, job, progress);
    change(progress);
    state.index.job_in(id, job, progress);
}
