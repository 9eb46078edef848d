//! The life of a job as a whole: open, perhaps told to end, ended. How many of its tasks wait or run is
//! counted beside it.

use common::{job::TaskCounts, status::JobStatus};
use serde::{Deserialize, Serialize};

use super::IllegalStep;

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Tasks wait or run.
    Open,
    /// Told to end; what runs still has its grace.
    Cancelling,
    Ended(JobResult),
    /// None of it waits in the queue before an admin says so.
    AwaitingApproval,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobResult {
    Succeeded,
    Failed,
    Cancelled,
}

/// What can happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStep {
    Cancel,
    End(JobResult),
    AwaitApproval,
    Approve,
}

impl JobState {
    /// Returns the state after `step`.
    ///
    /// # Errors
    /// The step is not possible from here.
    pub const fn transition(self, step: JobStep) -> Result<Self, IllegalStep> {
        match (self, step) {
            (Self::Open | Self::AwaitingApproval, JobStep::Cancel) => Ok(Self::Cancelling),
            (Self::Open | Self::Cancelling | Self::AwaitingApproval, JobStep::End(result)) => {
                Ok(Self::Ended(result))
            }
            (Self::Open, JobStep::AwaitApproval) => Ok(Self::AwaitingApproval),
            (Self::AwaitingApproval, JobStep::Approve) => Ok(Self::Open),
            (state, step) => Err(IllegalStep {
                noun: "a job",
                state: state.as_str(),
                step: match step {
                    JobStep::Cancel => "cancelling",
                    JobStep::End(_) => "the end",
                    JobStep::AwaitApproval => "waiting for approval",
                    JobStep::Approve => "approval",
                },
            }),
        }
    }

    /// Returns how a job in this state ends, all of its tasks being through.
    pub const fn result(self, counts: &TaskCounts) -> JobResult {
        match self {
            Self::Ended(result) => result,
            Self::Cancelling if counts.cancelled > 0 => JobResult::Cancelled,
            Self::Open | Self::Cancelling | Self::AwaitingApproval => {
                if counts.failed > 0 {
                    JobResult::Failed
                } else if counts.cancelled > 0 {
                    JobResult::Cancelled
                } else {
                    JobResult::Succeeded
                }
            }
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Cancelling => "being cancelled",
            Self::Ended(_) => "ended",
            Self::AwaitingApproval => "waiting for approval",
        }
    }
}

impl From<JobResult> for JobStatus {
    fn from(result: JobResult) -> Self {
        match result {
            JobResult::Succeeded => Self::Succeeded,
            JobResult::Failed => Self::Failed,
            JobResult::Cancelled => Self::Cancelled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table() {
        let ended = JobState::Ended(JobResult::Failed);
        let end = JobStep::End(JobResult::Failed);
        let awaiting = JobState::AwaitingApproval;
        for (from, step, expect) in [
            (JobState::Open, JobStep::Cancel, Some(JobState::Cancelling)),
            (JobState::Open, end, Some(ended)),
            (JobState::Cancelling, JobStep::Cancel, None),
            (JobState::Cancelling, end, Some(ended)),
            (ended, JobStep::Cancel, None),
            (ended, end, None),
            (JobState::Open, JobStep::AwaitApproval, Some(awaiting)),
            (JobState::Open, JobStep::Approve, None),
            (awaiting, JobStep::Approve, Some(JobState::Open)),
            (awaiting, JobStep::AwaitApproval, None),
            (awaiting, JobStep::Cancel, Some(JobState::Cancelling)),
            (awaiting, end, Some(ended)),
            (JobState::Cancelling, JobStep::AwaitApproval, None),
            (JobState::Cancelling, JobStep::Approve, None),
            (ended, JobStep::AwaitApproval, None),
            (ended, JobStep::Approve, None),
        ] {
            assert_eq!(from.transition(step).ok(), expect, "{from:?} {step:?}");
        }
    }

    #[test]
    fn a_job_that_succeeded_before_the_cancel_reached_it_has_succeeded() {
        let all_well = TaskCounts {
            succeeded: 2,
            ..TaskCounts::default()
        };
        let one_cut = TaskCounts {
            cancelled: 1,
            failed: 1,
            ..all_well
        };
        assert_eq!(JobState::Cancelling.result(&all_well), JobResult::Succeeded);
        assert_eq!(JobState::Cancelling.result(&one_cut), JobResult::Cancelled);
        assert_eq!(JobState::Open.result(&one_cut), JobResult::Failed);
    }
}
