//! Tasks that give way to a job which waits: who sees what of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    job::JobNumber,
    status::{Precedence, Priority},
    time::Timestamp,
};

/// What took an attempt's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreemptedBy {
    pub precedence: Precedence,
    /// `None` where the one who asks may not see the job.
    pub job: Option<PreemptingJob>,
}

/// A job that took another one's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreemptingJob {
    pub number: JobNumber,
    pub priority: Priority,
}

/// What a job that waits may do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MayPreempt {
    /// So many tasks would give way to its next one.
    pub tasks: u32,
    /// Not before that.
    pub from: Timestamp,
}

impl fmt::Display for PreemptedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(PreemptingJob { number, priority }) = self.job else {
            return f.write_str(match self.precedence {
                Precedence::Priority => "a job of higher priority",
                Precedence::Share => "a job of a member who has less of the pool",
                Precedence::OwnMachine => "a job of the machine's owner",
            });
        };
        match self.precedence {
            Precedence::Priority => write!(f, "job {number} (priority {priority})"),
            Precedence::Share => write!(f, "job {number} (its member has less of the pool)"),
            Precedence::OwnMachine => write!(f, "job {number} (of the machine's owner)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_may_not_be_seen_is_not_named() {
        let job = Some(PreemptingJob {
            number: JobNumber(57),
            priority: Priority::High,
        });
        let said = |precedence, job| PreemptedBy { precedence, job }.to_string();
        for (precedence, seen, unseen) in [
            (
                Precedence::Priority,
                "job 57 (priority high)",
                "a job of higher priority",
            ),
            (
                Precedence::Share,
                "job 57 (its member has less of the pool)",
                "a job of a member who has less of the pool",
            ),
            (
                Precedence::OwnMachine,
                "job 57 (of the machine's owner)",
                "a job of the machine's owner",
            ),
        ] {
            assert_eq!(said(precedence, job), seen);
            assert_eq!(said(precedence, None), unseen);
        }
    }
}
