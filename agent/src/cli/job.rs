//! `ps` and `job list|show|top|logs|wait|cancel|hold|release|rerun|why|artifacts|pull`: what was submitted.

mod artifacts;
mod cancel;
mod pull;
mod rerun;
mod retries;
mod show;
mod top;
mod used;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use common::{
    api::{
        Answer, Request,
        job::{ExplainJob, ListJobs},
    },
    job::{JobNumber, JobRef, JobSummary},
    name::Name,
    problem::Problem,
    status::JobStatus,
};

use super::{
    Context, explain,
    follow::{LogForm, Watch},
    moments::{ago, now, took},
    output::Format,
    pages::{self, MAX_LISTED},
    run,
    session::ask,
    table::Table,
};

/// Jobs that are listed unless told otherwise.
const DEFAULT_ROWS: u32 = 50;

/// Look at jobs, follow, fetch, hold and cancel them
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  compute-share job why 42")]
pub(super) enum Job {
    List(ListAll),
    Show(show::Show),
    Top(top::Top),
    Logs(Logs),
    Wait(Wait),
    Cancel(cancel::Cancel),
    Hold(cancel::Hold),
    Release(cancel::Release),
    Rerun(rerun::Rerun),
    Why(Why),
    Artifacts(artifacts::Artifacts),
    Pull(pull::Pull),
}

/// List jobs, newest first
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share job list --status failed --owner bob")]
pub(super) struct ListAll {
    #[command(flatten)]
    filter: Filter,
}

/// List jobs that wait or run
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  compute-share ps\n  compute-share ps --all")]
pub(super) struct List {
    /// Also those that have ended
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Debug, Args)]
struct Filter {
    /// Only those in this state
    #[arg(long, value_name = "STATE")]
    status: Vec<JobStatus>,
    /// Only those of this member
    #[arg(long, value_name = "HANDLE")]
    owner: Option<Name>,
    /// Only those of this project
    #[arg(long, value_name = "NAME")]
    project: Option<Name>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = DEFAULT_ROWS, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_LISTED)))]
    limit: u32,
    /// Only those before this number
    #[arg(long, value_name = "JOB")]
    before: Option<u64>,
}

/// Show a job's output
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  compute-share logs -f 42\n  compute-share job logs 42.7")]
pub(super) struct Logs {
    #[arg(value_name = "JOB[.TASK]")]
    job: JobRef,
    /// Go on until the job has ended
    #[arg(short, long)]
    follow: bool,
}

/// Wait for a job's end, and end with its exit code
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share job wait 42")]
pub(super) struct Wait {
    #[arg(value_name = "JOB")]
    job: JobRef,
}

/// Say everything that keeps a job from starting
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share job why 42")]
pub(super) struct Why {
    #[arg(value_name = "JOB")]
    job: JobRef,
}

impl Job {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Problem> {
        match self {
            Self::List(list) => list.filter.run(context, &[]).await?,
            Self::Show(show) => show.run(context).await?,
            Self::Top(top) => top.run(context).await?,
            Self::Logs(logs) => logs.run(context).await?,
            Self::Wait(wait) => return wait.run(context).await,
            Self::Cancel(cancel) => cancel.run(context).await?,
            Self::Hold(hold) => hold.run(context).await?,
            Self::Release(release) => release.run(context).await?,
            Self::Rerun(rerun) => rerun.run(context).await?,
            Self::Why(why) => why.run(context).await?,
            Self::Artifacts(artifacts) => artifacts.run(context).await?,
            Self::Pull(pull) => pull.run(context).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let default: &[JobStatus] = if self.all {
            &[]
        } else {
            &[
                JobStatus::AwaitingApproval,
                JobStatus::Queued,
                JobStatus::Running,
            ]
        };
        self.filter.run(context, default).await
    }
}

impl Filter {
    async fn run(self, context: &Context, default: &[JobStatus]) -> Result<(), Problem> {
        let session = context.session().await?;
        let status = if self.status.is_empty() {
            default.to_vec()
        } else {
            self.status
        };
        let begin = self.before.map(JobNumber);
        let list = ListJobs {
            org: session.org,
            status,
            owner: self.owner,
            project: self.project,
            before: None,
            limit: 0,
        };
        let most = self.limit as usize;
        // One more than is shown tells whether there are older ones.
        let jobs = pages::first(self.limit + 1, async |before, limit| {
            let request = Request::ListJobs(ListJobs {
                before: before.or(begin),
                limit,
                ..list.clone()
            });
            ask!(session, request, Answer::Jobs(page) => page)
        });
        let mut jobs = jobs.await?.rows;
        session.end().await;
        let more = jobs.len() > most;
        jobs.truncate(most);
        context.output.show(
            &jobs,
            |jobs| jobs.iter().map(|job| job.number.to_string()).collect(),
            |jobs| {
                jobs_table(jobs)
                    .without_empty_columns()
                    .to_text("No jobs. `compute-share run -- COMMAND` runs one.")
            },
        )?;
        if let Some(last) = jobs.last().filter(|_| more) {
            let older = format!("Older ones: --before {}, or a larger --limit.", last.number);
            context.output.note(&older);
        }
        Ok(())
    }
}

fn jobs_table(jobs: &[JobSummary]) -> Table {
    let now = now();
    let mut table = Table::new(&[
        ">JOB",
        "NAME",
        "OWNER",
        "PROJECT",
        "STATUS",
        "TASKS",
        "MACHINES",
        "SUBMITTED",
        "TIME",
    ]);
    for job in jobs {
        let machines: Vec<&str> = job.machines.iter().map(Name::as_str).collect();
        table.row([
            job.number.to_string(),
            job.name.clone(),
            job.owner.to_string(),
            job.project
                .as_ref()
                .map_or_else(String::new, Name::to_string),
            standing(job),
            tasks(job),
            machines.join(", "),
            ago(job.submitted_at, now),
            took(job.started_at, job.ended_at, now),
        ]);
    }
    table
}

/// Returns the job's state, with what keeps it out of the queue: `queued, held`.
pub(super) fn standing(job: &JobSummary) -> String {
    let held = job.held.as_ref().map(|_| ", held").unwrap_or_default();
    let waits = if job.awaits > 0 { ", waits" } else { "" };
    format!("{}{held}{waits}", job.status)
}

/// Returns `3/10 done, 1 failed` for arrays, nothing for a job of one task.
pub(super) fn tasks(job: &JobSummary) -> String {
    let counts = &job.tasks;
    if counts.total() <= 1 {
        return String::new();
    }
    let done = counts.succeeded + counts.failed + counts.cancelled;
    let failed = match counts.failed {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    format!("{done}/{} done{failed}", counts.total())
}

impl Logs {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let form = match context.output.format {
            Format::Human => LogForm::Plain,
            Format::Json => LogForm::Json,
        };
        let mut session = context.session().await?;
        Watch::new(context, self.job, Some(form), self.follow)
            .run(&mut session)
            .await?;
        session.end().await;
        Ok(())
    }
}

impl Wait {
    async fn run(self, context: &Context) -> Result<ExitCode, Problem> {
        let mut session = context.session().await?;
        let ended = Watch::new(context, self.job, None, true)
            .run(&mut session)
            .await?;
        let Some(summary) = ended else {
            session.end().await;
            return Ok(ExitCode::SUCCESS);
        };
        run::explain_failure(context, &session, &summary, &[]).await;
        session.end().await;
        context.output.show(
            &summary,
            |summary| vec![summary.number.to_string()],
            |summary| format!("Job {} {}.", summary.number, summary.status),
        )?;
        Ok(ExitCode::from(run::exit_code(&summary)))
    }
}

impl Why {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        let request = Request::ExplainJob(ExplainJob {
            org: session.org,
            number: self.job.number,
        });
        let explanation = ask!(session, request, Answer::Explanation(explanation) => explanation)?;
        session.end().await;
        context.output.show(
            &explanation,
            |explanation| {
                explanation
                    .blockers
                    .iter()
                    .map(|one| one.code.as_str().to_owned())
                    .collect()
            },
            explain::text,
        )
    }
}
