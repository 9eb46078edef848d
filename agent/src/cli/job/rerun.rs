//! `job rerun`: tasks of a job that has ended, once more, as a job of its own.

use clap::Args;
use common::{
    api::{
        Answer, Request,
        job::{JobAnswer, JobRequest, Rerun as Again, RerunJob},
    },
    code::Code,
    job::{ArraySpec, JobRef},
    problem::Problem,
};

use super::super::{
    Context, amounts::counted, job_flags::idempotency_key, session::ask, submit::awaits,
};

/// Run tasks of a job that has ended again, as a new job
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share job rerun 42 --failed\n  compute-share job rerun 42 --task 7\n  compute-share job rerun 42 --failed --task 0-99,120\n\nIt has the same specification, the same versions of its datasets and the same work folder. Tasks keep their\nindices, and COMPUTE_SHARE_TASK_COUNT is that of the job which was submitted first."
)]
pub(in super::super) struct Rerun {
    #[arg(value_name = "JOB[.TASK]")]
    job: JobRef,
    /// Only tasks that failed
    #[arg(long)]
    failed: bool,
    /// Only these tasks
    #[arg(long, value_name = "INDICES")]
    task: Option<ArraySpec>,
    /// The same key gives the same job, however often it is asked for
    #[arg(long, value_name = "TEXT")]
    idempotency_key: Option<String>,
}

impl Rerun {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let tasks = tasks(self.job, self.task)?;
        let session = context.session().await?;
        let request = Request::Job(JobRequest::Rerun(RerunJob {
            org: session.org,
            number: self.job.number,
            failed: self.failed,
            tasks,
            key: idempotency_key(self.idempotency_key.as_deref()),
        }));
        let again = ask!(session, request, Answer::AboutJob(JobAnswer::Rerun(again)) => again)?;
        session.end().await;
        let of = self.job.number;
        context.output.show(
            &again,
            |again| vec![again.submitted.number.to_string()],
            |Again { submitted, tasks }| {
                let number = submitted.number;
                let tasks = counted((*tasks).into(), "task");
                let waits = awaits(submitted).map_or_else(String::new, |waits| format!(" {waits}"));
                format!("Job {number} runs {tasks} of job {of} again.{waits}")
            },
        )
    }
}

/// Returns the tasks that are named, in either way.
fn tasks(job: JobRef, named: Option<ArraySpec>) -> Result<Option<ArraySpec>, Problem> {
    let refused = |why: &str| {
        let what = format!("job {} cannot be run again so", job.number);
        Err(Problem::new(Code::BadRequest, what, why))
    };
    match (job.task, named) {
        (Some(_), Some(_)) => refused("--task and the task after the job's number say both which"),
        (_, Some(named)) if named.parallel.is_some() => {
            refused("how many run at once is the job's own, so --task takes no %")
        }
        (Some(task), None) => Ok(Some(ArraySpec::of(task, task, None))),
        (None, named) => Ok(named),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_named_in_one_way() {
        let tasks = |job: &str, named: Option<&str>| {
            let named = named.map(|named| named.parse().unwrap());
            let tasks = tasks(job.parse().unwrap(), named);
            tasks.map(|tasks| tasks.map(|tasks| tasks.to_string()))
        };
        assert_eq!(tasks("42", None), Ok(None));
        assert_eq!(tasks("42.7", None), Ok(Some("7-7".to_owned())));
        assert_eq!(tasks("42", Some("7,9")), Ok(Some("7,9".to_owned())));
        assert!(tasks("42.7", Some("7")).is_err());
        assert!(tasks("42", Some("0-9%2")).is_err());
    }
}
