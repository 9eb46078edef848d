//! What a follower of a job needs: its state and its attempts' logs.

use common::{
    api::job::FollowJob,
    id::{AttemptId, JobId, UserId},
    job::JobSummary,
    problem::Problem,
    time::Timestamp,
};

use super::job::{attempts_of, progress, summary};
use crate::{
    decide::{find_job, find_task},
    event::LogState,
    state::{State, attempt::Attempt},
};

/// Most attempts that one follower is given; the newest are left out beyond.
pub const MAX_FOLLOWED: usize = 65_536;

/// A job as a follower sees it now. [`crate::Topic::Job`] wakes whenever that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    pub job: JobId,
    pub summary: JobSummary,
    /// Whether what is followed (the job, or the one task) has ended.
    pub ended: bool,
    /// By task and number.
    pub attempts: Vec<FollowedAttempt>,
}

/// One log to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowedAttempt {
    pub attempt: AttemptId,
    pub log: LogEnd,
}

/// How long a log will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogEnd {
    /// The attempt still runs.
    Open,
    /// It ends there, whether or not all of it has arrived.
    At(u64),
    /// What has arrived is all there will be.
    Here,
}

/// Returns what a follower is told now.
///
/// # Errors
/// The job or task is not found by this user.
pub fn followed(
    state: &State,
    _now: Timestamp,
    user: UserId,
    request: &FollowJob,
) -> Result<Followed, Problem> {
    let (id, job) = find_job(state, user, request.org, request.number)?;
    if let Some(task) = request.task {
        find_task(job, task)?;
    }
    let progress = progress(state, id, job)?;
    let ended = match request.task {
        None => progress.ended_at.is_some(),
        Some(task) => {
            let live = state.index.live.get(&id);
            let runs = live.is_some_and(|live| live.iter().any(|attempt| attempt.task == task));
            !runs && !progress.waits(task)
        }
    };
    let attempts = attempts_of(state, id, request.task);
    let attempts = attempts.filter(|(_, row)| row.waits_behind().is_none());
    let attempts = attempts.take(MAX_FOLLOWED);
    Ok(Followed {
        job: id,
        summary: summary(state, id, job, progress)?,
        ended,
        attempts: attempts
            .map(|(attempt, row)| FollowedAttempt {
                attempt,
                log: log_end(state, row),
            })
            .collect(),
    })
}

/// Returns whether the user may still see what they follow, without looking at how it is.
///
/// # Errors
/// The job is not found by this user, or not any more.
pub fn may_follow(state: &State, user: UserId, request: &FollowJob) -> Result<(), Problem> {
    find_job(state, user, request.org, request.number)?;
    Ok(())
}

fn log_end(state: &State, attempt: &Attempt) -> LogEnd {
    match attempt.log {
        LogState::Growing => LogEnd::Open,
        // Nobody should wait for a machine that may never come back.
        LogState::Awaited { .. } if state.volatile.lost.contains(&attempt.machine) => LogEnd::Here,
        LogState::Awaited { bytes } | LogState::Complete { bytes } => LogEnd::At(bytes),
        LogState::Lost => LogEnd::Here,
    }
}
