//! What is said no to about running a job once more.

use common::{
    code::Code,
    job::{JobNumber, MAX_RANGES},
    problem::Problem,
    status::JobStatus,
};

use super::Rejection;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RerunRejection {
    NotEnded {
        number: JobNumber,
        status: JobStatus,
    },
    NothingFailed {
        number: JobNumber,
    },
    /// What opened its image's registry is kept no longer than the job.
    LoginForgotten {
        number: JobNumber,
    },
    /// Its tasks run together.
    TasksOfGang {
        number: JobNumber,
    },
    /// Failed tasks lie too far apart, or are too many to be looked for.
    TooMany {
        number: JobNumber,
    },
}

impl RerunRejection {
    pub(super) fn problem(self) -> Problem {
        match self {
            Self::NotEnded { number, status } => Problem::new(
                Code::WrongState,
                format!("cannot run job {number} again"),
                format!("it has not ended: {status}"),
            )
            .help(format!(
                "Wait for its end with `compute-share job wait {number}`, or cancel it."
            )),
            Self::NothingFailed { number } => Problem::new(
                Code::NothingFailed,
                format!("cannot run failed tasks of job {number} again"),
                "none of those that were asked for failed",
            )
            .help("Leave --failed out to run all of them, or name some with --task."),
            Self::LoginForgotten { number } => Problem::new(
                Code::WrongState,
                format!("cannot run job {number} again"),
                "the login for its image's registry was forgotten when it ended",
            )
            .help("Submit it anew: a login that is on your computer is sent along."),
            Self::TasksOfGang { number } => Problem::new(
                Code::BadRequest,
                format!("cannot run single tasks of job {number} again"),
                "it is a gang, whose tasks run together",
            )
            .help("Leave --task out: all of them run again."),
            Self::TooMany { number } => Problem::new(
                Code::Limit,
                format!("cannot find all failed tasks of job {number} at once"),
                format!("they are too many, or lie in more than {MAX_RANGES} ranges"),
            )
            .help("Take a part of them at a time, as in --failed --task 0-9999."),
        }
    }
}

impl From<RerunRejection> for Rejection {
    fn from(rejection: RerunRejection) -> Self {
        Self::Rerun(rejection)
    }
}
