//! Jobs that wait for others: what for, and how that stands.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::JobNumber;
use crate::{
    name::Name,
    status::{AfterStatus, Condition, JobStatus},
    time::Timestamp,
};

/// Most jobs that one waits for.
pub const MAX_AFTER: usize = 256;

/// `41` or `41:succeeded`: another job, and what has to become of it first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct After {
    pub job: JobNumber,
    pub condition: Condition,
}

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.job, self.condition)
    }
}

impl FromStr for After {
    type Err = InvalidAfter;

    fn from_str(text: &str) -> Result<Self, InvalidAfter> {
        let invalid = || InvalidAfter(text.chars().take(40).collect());
        let (number, condition) = match text.split_once(':') {
            None => (text, Condition::Succeeded),
            Some((number, word)) => (number, word.parse().map_err(|_| invalid())?),
        };
        // A sign would do for a number, and nobody writes one here.
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        let number = number.parse().ok().filter(|&number| digits && number > 0);
        Ok(Self {
            job: JobNumber(number.ok_or_else(invalid)?),
            condition,
        })
    }
}

/// The text does not say what to wait for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is nothing to wait for; write a job's number, as in 41, or 41:failed (succeeded, failed, ended or started)"
)]
pub struct InvalidAfter(String);

/// How it stands with what a job waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AfterView {
    pub job: JobNumber,
    pub condition: Condition,
    pub status: AfterStatus,
    /// Of the other job, where whoever asks may see it.
    pub job_status: Option<JobStatus>,
}

/// Why a job was cancelled that waited for another: that one has ended otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmet {
    pub job: JobNumber,
    pub condition: Condition,
    /// How the other job ended.
    pub ended: JobStatus,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            job,
            condition,
            ended,
        } = self;
        write!(
            f,
            "it waited for job {job} to {}, which {}",
            condition.verb(),
            ended.past()
        )
    }
}

/// Who keeps a job from starting tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldView {
    /// Handle.
    pub by: Name,
    pub since: Timestamp,
}

impl Condition {
    /// Returns what the other job has to do, as read after "waits for job 41 to".
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Succeeded => "succeed",
            Self::Failed => "fail",
            Self::Ended => "end",
            Self::Started => "start",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_wait_for_is_a_number_and_a_condition() {
        for (text, condition) in [
            ("41", Condition::Succeeded),
            ("41:succeeded", Condition::Succeeded),
            ("41:failed", Condition::Failed),
            ("41:ended", Condition::Ended),
            ("41:started", Condition::Started),
        ] {
            let job = JobNumber(41);
            assert_eq!(text.parse(), Ok(After { job, condition }), "{text}");
        }
        let bad = [
            "",
            "0",
            "-1",
            "+1",
            "1.5",
            "NaN",
            "41:",
            "41:done",
            ":failed",
            "4 1",
            "41:failed:1",
            "18446744073709551616",
            "99999999999999999999999:ended",
        ];
        for text in bad {
            assert!(text.parse::<After>().is_err(), "{text}");
        }
    }
}
