//! `job cancel`, `job hold`, `job release`: what becomes of a job, and of what waits for it.

use clap::Args;
use common::{
    api::{
        Answer, Request,
        job::{CancelJob, Dependants, HoldJob, JobAnswer, JobRequest},
    },
    job::{JobNumber, JobRef},
    problem::Problem,
};
use serde_json::json;

use super::super::{
    Context,
    amounts::counted,
    session::{Session, ask},
};

/// Cancel a job or one task of it
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share job cancel 42\n  compute-share job cancel 42.7\n  compute-share job cancel 42 --dependants\n\nJobs that wait for this one go on if they wait for its end, and are cancelled if they wait for its success."
)]
pub(in super::super) struct Cancel {
    #[arg(value_name = "JOB[.TASK]")]
    job: JobRef,
    /// Also all that waits for it, whatever for; says how much that is, and asks
    #[arg(long)]
    dependants: bool,
}

/// Let a job start no more tasks; what runs goes on
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share job hold 42\n  compute-share job hold 42 --dependants"
)]
pub(in super::super) struct Hold {
    #[arg(value_name = "JOB")]
    job: JobRef,
    /// Also all that waits for it
    #[arg(long)]
    dependants: bool,
}

/// Let a held job start tasks again
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share job release 42\n  compute-share job release 42 --dependants"
)]
pub(in super::super) struct Release {
    #[arg(value_name = "JOB")]
    job: JobRef,
    /// Also all that waits for it
    #[arg(long)]
    dependants: bool,
}

impl Cancel {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        let JobRef { number, task } = self.job;
        let mut with = 0;
        if self.dependants && task.is_none() {
            let waiting = dependants(&session, number).await?;
            with = waiting.count;
            if let Some(consequence) = consequence(number, &waiting) {
                let what = "cancelling what waits for a job";
                context.consent.obtain(what, &consequence)?;
            }
        }
        let request = Request::CancelJob(CancelJob {
            org: session.org,
            number,
            task,
            dependants: self.dependants,
        });
        ask!(session, request, Answer::Done => ())?;
        session.end().await;
        let what = task.map_or_else(
            || format!("Job {number}"),
            |task| format!("Task {number}.{task}"),
        );
        let what = match with {
            0 => format!("{what} is"),
            _ => format!("{what} and {} are", waiting_jobs(with)),
        };
        let sentence = format!("{what} cancelled; what runs has 30 s to end.");
        context.output.done(
            &json!({"number": number, "task": task, "dependants": with}),
            &sentence,
        )
    }
}

impl Hold {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let number = whole(self.job)?;
        let with = change(context, number, self.dependants, JobRequest::Hold).await?;
        let sentence = format!(
            "{} nothing new; `compute-share job release {number}` ends that.",
            match with {
                0 => format!("Job {number} starts"),
                _ => format!("Job {number} and {} start", waiting_jobs(with)),
            }
        );
        let done = json!({"number": number, "dependants": with});
        context.output.done(&done, &sentence)
    }
}

impl Release {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let number = whole(self.job)?;
        let with = change(context, number, self.dependants, JobRequest::Release).await?;
        let sentence = match with {
            0 => format!("Job {number} is held no longer."),
            _ => format!(
                "Job {number} and {} are held no longer.",
                waiting_jobs(with)
            ),
        };
        let done = json!({"number": number, "dependants": with});
        context.output.done(&done, &sentence)
    }
}

/// Holds or releases, and returns how much of what waits went along.
async fn change(
    context: &Context,
    number: JobNumber,
    with: bool,
    request: fn(HoldJob) -> JobRequest,
) -> Result<u32, Problem> {
    let session = context.session().await?;
    let count = match with {
        true => dependants(&session, number).await?.count,
        false => 0,
    };
    let request = Request::Job(request(HoldJob {
        org: session.org,
        number,
        dependants: with,
    }));
    ask!(session, request, Answer::Done => ())?;
    session.end().await;
    Ok(count)
}

/// Returns the job's number, where no task is named: jobs are held as a whole.
fn whole(job: JobRef) -> Result<JobNumber, Problem> {
    match job.task {
        None => Ok(job.number),
        Some(_) => {
            let what = format!("{job} cannot be held or released");
            let why = "that is possible for a job as a whole only";
            let problem = Problem::new(common::code::Code::BadRequest, what, why);
            Err(problem.help(format!("Name the job alone: {}.", job.number)))
        }
    }
}

async fn dependants(session: &Session, number: JobNumber) -> Result<Dependants, Problem> {
    let org = session.org;
    let question = Request::Job(JobRequest::CountDependants { org, number });
    ask!(session, question, Answer::AboutJob(JobAnswer::Dependants(found)) => found)
}

/// Returns what a yes would do, where there is anything to ask about.
fn consequence(number: JobNumber, waiting: &Dependants) -> Option<String> {
    if waiting.count == 0 {
        return None;
    }
    let named: Vec<String> = waiting.first.iter().map(JobNumber::to_string).collect();
    let more = (waiting.count as usize).saturating_sub(named.len());
    let more = match more {
        0 => String::new(),
        _ => format!(" and {more} more"),
    };
    Some(format!(
        "With job {number} {} cancelled: {}{more}.",
        match waiting.count {
            1 => "1 job that waits for it is".to_owned(),
            count => format!("{count} jobs that wait for it are"),
        },
        named.join(", ")
    ))
}

fn waiting_jobs(count: u32) -> String {
    let waits = if count == 1 { "waits" } else { "wait" };
    format!("{} that {waits} for it", counted(count.into(), "job"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_along_is_counted_and_named_before() {
        let waiting = |count, first: &[u64]| Dependants {
            count,
            first: first.iter().copied().map(JobNumber).collect(),
        };
        let text = |count, first: &[u64]| consequence(JobNumber(42), &waiting(count, first));
        assert_eq!(text(0, &[]), None);
        assert_eq!(
            text(1, &[43]).unwrap(),
            "With job 42 1 job that waits for it is cancelled: 43."
        );
        assert_eq!(
            text(300, &[43, 44]).unwrap(),
            "With job 42 300 jobs that wait for it are cancelled: 43, 44 and 298 more."
        );
        assert_eq!(waiting_jobs(1), "1 job that waits for it");
        assert!(whole("42.7".parse().unwrap()).is_err());
    }
}
