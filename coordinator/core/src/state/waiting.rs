//! What keeps a job out of the queue besides an approval: other jobs that it waits for, and somebody who holds it.

use common::{
    id::{JobId, UserId},
    status::{AfterStatus, Condition},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::job::JobProgress;
use crate::lifecycle::job::{JobResult, JobState};

/// What has to become of another job first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Awaited {
    pub job: JobId,
    pub condition: Condition,
}

/// Who keeps a job from starting tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub by: UserId,
    pub at: Timestamp,
}

/// What a job waited for that can never be any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    pub awaited: Awaited,
    /// How the other job ended instead.
    pub ended: JobResult,
}

/// When a condition can be decided at the earliest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Moment {
    Start,
    End,
}

impl Awaited {
    pub(crate) const fn moment(&self) -> Moment {
        match self.condition {
            Condition::Started => Moment::Start,
            Condition::Succeeded | Condition::Failed | Condition::Ended => Moment::End,
        }
    }
}

impl JobProgress {
    /// Returns how it stands with a condition about this job.
    pub(crate) const fn stands(&self, condition: Condition) -> AfterStatus {
        let result = match self.state {
            JobState::Ended(result) => Some(result),
            JobState::Open | JobState::Cancelling | JobState::AwaitingApproval => None,
        };
        match (condition, result) {
            (Condition::Started, _) if self.started_at.is_some() => AfterStatus::Met,
            (_, None) => AfterStatus::Waits,
            // A machine may have had no word between a task's start and its end.
            (Condition::Ended, Some(_))
            | (Condition::Succeeded | Condition::Started, Some(JobResult::Succeeded))
            | (Condition::Failed, Some(JobResult::Failed)) => AfterStatus::Met,
            (_, Some(_)) => AfterStatus::Never,
        }
    }

    /// Returns whether conditions of this kind about it can be decided.
    pub(crate) const fn has_come_to(&self, moment: Moment) -> bool {
        let ended = matches!(self.state, JobState::Ended(_));
        ended || matches!(moment, Moment::Start) && self.started_at.is_some()
    }

    /// Returns whether neither another job nor a person keeps it out of the queue.
    pub(crate) fn is_let_in(&self) -> bool {
        self.awaits.is_empty() && self.held.is_none()
    }
}
