//! A job once more: the same specification, versions and work folder, and of its tasks those that are asked for.

use std::collections::BTreeMap;

use common::{
    api::job::RerunJob,
    id::{AttemptId, JobId, UserId},
    job::{ArraySpec, IndexRange, JobSpec, MAX_RANGES},
    status::EndReason,
    time::Timestamp,
};

use super::{
    find_job,
    job::progress,
    submission::{Submission, admit},
};
use crate::{
    event::Event,
    lifecycle::attempt::AttemptState,
    policy::{self, Action, permit},
    rejection::{Rejection, rerun::RerunRejection},
    state::{
        State,
        job::{Job, Rerun},
    },
};

/// Most attempts that are looked through for tasks that failed.
const MAX_LOOKED_THROUGH: usize = 1_000_000;

pub(super) fn rerun(
    state: &State,
    at: Timestamp,
    user: UserId,
    id: JobId,
    request: &RerunJob,
) -> Result<Vec<Event>, Rejection> {
    let (of, job) = find_job(state, user, request.org, request.number)?;
    let role = policy::member(state, request.org, user)?.role;
    permit(state, request.org, user, Action::SubmitJob)?;
    policy::check_rerun(state, user, role, job)?;
    let progress = progress(state, of, job.number)?;
    let number = job.number;
    if progress.ended_at.is_none() {
        let status = progress.status();
        return Err(RerunRejection::NotEnded { number, status }.into());
    }
    if job.login_forgotten {
        return Err(RerunRejection::LoginForgotten { number }.into());
    }
    let ranges = wanted(state, (of, job), request)?;
    let spec = once_more(job, ranges)?;
    let rerun = Rerun {
        of,
        task_count: job.told_count(),
    };
    let submission = Submission {
        id,
        org: request.org,
        key: request.key,
        spec: &spec,
        rerun: Some(rerun),
    };
    admit(state, at, user, &submission)
}

/// Returns the specification with what was settled when it was submitted first, of these tasks.
fn once_more(job: &Job, ranges: Vec<IndexRange>) -> Result<JobSpec, Rejection> {
    let array = match &job.spec.array {
        None => None,
        Some(array) => {
            let chosen = ArraySpec::of_ranges(ranges, array.parallel);
            Some(chosen.map_err(|error| Rejection::Job(error.into()))?)
        }
    };
    Ok(JobSpec {
        array,
        after: Vec::new(),
        hold: false,
        ..job.pinned_spec()
    })
}

/// Returns the tasks that are asked for, in order.
fn wanted(
    state: &State,
    (id, job): (JobId, &Job),
    request: &RerunJob,
) -> Result<Vec<IndexRange>, Rejection> {
    let number = job.number;
    if job.spec.gang().is_some() && request.tasks.is_some() {
        return Err(RerunRejection::TasksOfGang { number }.into());
    }
    let within = match &request.tasks {
        None => job.ranges(),
        Some(tasks) => {
            tasks
                .check()
                .map_err(|error| Rejection::Job(error.into()))?;
            let wanted: Vec<IndexRange> = tasks.ranges().collect();
            match first_lacking(&job.ranges(), &wanted) {
                Some(task) => return Err(Rejection::no_such_task(job, task)),
                None => wanted,
            }
        }
    };
    if !request.failed {
        return Ok(within);
    }
    let mut chosen: Vec<IndexRange> = Vec::new();
    let mut left = MAX_LOOKED_THROUGH;
    for range in within {
        for task in failed(state, id, range, &mut left) {
            match chosen.last_mut() {
                Some(before) if before.last + 1 == task => before.last = task,
                _ => chosen.push(IndexRange {
                    first: task,
                    last: task,
                }),
            }
        }
        if left == 0 || chosen.len() > MAX_RANGES {
            return Err(RerunRejection::TooMany { number }.into());
        }
    }
    if chosen.is_empty() {
        return Err(RerunRejection::NothingFailed { number }.into());
    }
    Ok(chosen)
}

/// Returns the first index of `wanted` that is in none of the ranges, which are in order.
fn first_lacking(ranges: &[IndexRange], wanted: &[IndexRange]) -> Option<u32> {
    let lacking = wanted.iter().map(|wanted| {
        let after = ranges.partition_point(|range| range.first <= wanted.first);
        let around = after.checked_sub(1).map(|place| ranges[place]);
        match around.filter(|range| wanted.first <= range.last) {
            None => Some(wanted.first),
            Some(range) => (range.last < wanted.last).then(|| range.last + 1),
        }
    });
    lacking.flatten().next()
}

/// Returns the tasks of a range whose last attempt failed; one that was cancelled did not.
fn failed(state: &State, job: JobId, range: IndexRange, left: &mut usize) -> Vec<u32> {
    let bound = |task, number| AttemptId { job, task, number };
    let attempts = state
        .attempts
        .range(bound(range.first, 0)..=bound(range.last, u32::MAX));
    let mut last: BTreeMap<u32, bool> = BTreeMap::new();
    for (id, attempt) in attempts.take(*left) {
        *left -= 1;
        let failed = match &attempt.state {
            AttemptState::Ended(outcome) => {
                !outcome.succeeded() && outcome.reason != EndReason::Cancelled
            }
            _ => false,
        };
        last.insert(id.task, failed);
    }
    let failed = last.into_iter().filter(|(_, failed)| *failed);
    failed.map(|(task, _)| task).collect()
}
