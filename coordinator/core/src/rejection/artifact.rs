//! What is said no to about what tasks left.

use common::{
    code::Code,
    job::{JobNumber, JobRef},
    problem::Problem,
    time::Timestamp,
};

use super::Rejection;

/// Why nobody gets what a task left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArtifactRejection {
    NoSuchAttempt {
        number: JobNumber,
        task: u32,
        attempt: u32,
        /// `None` where there was none yet.
        newest: Option<u32>,
    },
    /// They were kept for as long as the org keeps such things.
    Forgotten {
        number: JobNumber,
        task: u32,
        at: Timestamp,
    },
    /// A job wants to read what is not all there.
    NotYet {
        job: JobRef,
        /// Only the files are still on their way.
        ended: bool,
    },
    /// Of an array, as a whole.
    TooManyTasks {
        job: JobRef,
        tasks: u32,
        most: usize,
    },
}

impl ArtifactRejection {
    pub(super) fn problem(self) -> Problem {
        match self {
            Self::NoSuchAttempt {
                number,
                task,
                attempt,
                newest,
            } => Problem::new(
                Code::NotFound,
                format!("no attempt {attempt} of task {number}.{task}"),
                match newest {
                    None => "it was not tried yet".to_owned(),
                    Some(newest) => format!("its attempts go from 1 to {newest}"),
                },
            )
            .help(format!("`compute-share job show {number}` lists them.")),
            Self::Forgotten { number, task, at } => Problem::new(
                Code::NotFound,
                format!("no files of task {number}.{task}"),
                format!(
                    "they were kept for as long as the org keeps artifacts, and are gone since {}",
                    at.to_second()
                ),
            )
            .help("Run the job again. `compute-share org settings` shows artifacts_kept, which an admin can raise."),
            Self::NotYet { job, ended } => {
                let number = job.number;
                let (why, help) = if ended {
                    (
                        "they are still on their way from the machine",
                        format!("Submit again once `compute-share job artifacts {job}` lists them."),
                    )
                } else {
                    (
                        "it has not ended",
                        format!("Wait for its end with `compute-share job wait {number}`, then submit again."),
                    )
                };
                let what = format!("what job {job} left cannot be read");
                Problem::new(Code::WrongState, what, why).help(help)
            }
            Self::TooManyTasks { job, tasks, most } => Problem::new(
                Code::Limit,
                format!("what job {job} left cannot be read as a whole"),
                format!("it has {tasks} tasks; a job reads what {most} left at most"),
            )
            .help(format!("Name the tasks that are needed, as in job:{job}.0:/data/prev.")),
        }
    }
}

impl From<ArtifactRejection> for Rejection {
    fn from(rejection: ArtifactRejection) -> Self {
        Self::Artifact(rejection)
    }
}
