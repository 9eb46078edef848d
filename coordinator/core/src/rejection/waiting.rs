//! What is said no to about jobs that wait for others, or that somebody holds.

use common::{
    api::job::MAX_DEPENDANTS,
    code::Code,
    job::{After, JobNumber},
    problem::Problem,
    status::JobStatus,
};

use super::Rejection;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitingRejection {
    /// What it would wait for can never be any more.
    Never { after: After, status: JobStatus },
    Ended {
        number: JobNumber,
        status: JobStatus,
        step: HoldStep,
    },
    /// More than one command takes along.
    TooManyDependants { number: JobNumber },
    /// Tasks have no dependants of their own.
    DependantsOfTask { number: JobNumber },
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldStep {
    Hold,
    Release,
}

impl WaitingRejection {
    pub(super) fn problem(self) -> Problem {
        match self {
            Self::Never { after, status } => {
                let After { job, condition } = after;
                Problem::new(
                    Code::NeverMet,
                    format!("cannot wait for job {job} to {}", condition.verb()),
                    format!("it {} already", status.past()),
                )
                .help(format!(
                    "Submit job {job} anew and wait for that, or leave --after {after} out."
                ))
            }
            Self::Ended {
                number,
                status,
                step,
            } => {
                let step = match step {
                    HoldStep::Hold => "hold",
                    HoldStep::Release => "release",
                };
                let what = format!("cannot {step} job {number}");
                Problem::new(Code::WrongState, what, format!("it has ended: {status}"))
                    .help("Nothing is left to do.")
            }
            Self::TooManyDependants { number } => Problem::new(
                Code::Limit,
                format!("cannot take along all that waits for job {number}"),
                format!("more than {MAX_DEPENDANTS} jobs wait for it"),
            )
            .help(
                "Begin with jobs that wait for it, or leave --dependants out: what can never start is cancelled by itself.",
            ),
            Self::DependantsOfTask { number } => Problem::new(
                Code::BadRequest,
                "cannot take along what waits for a task",
                "jobs wait for a job as a whole",
            )
            .help(format!("Name the job alone: {number}.")),
        }
    }
}

impl From<WaitingRejection> for Rejection {
    fn from(rejection: WaitingRejection) -> Self {
        Self::Waiting(rejection)
    }
}
