//! What a follower of a job needs: its state and its attempts' logs.

use common::{
    api::job::FollowJob,
    id::{AttemptId, JobId, UserId},
    job::JobSummary,
    problem::Problem,
    time::Timestamp,
};

use crate::state::State;

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
    now: Timestamp,
    user: UserId,
    request: &FollowJob,
) -> Result<Followed, Problem> {
    let _ = (state, now, user, request);
    Err(Problem::new(common::code::Code::NotFound, "", ""))
}
