//! `job top`: what the attempts of one job use, live. Asks once a second over one connection; `q` quits. Where
//! stdout is no terminal, it says once what it sees.

mod view;

use std::io::IsTerminal as _;

use clap::Args;
use common::{
    api::{Answer, MAX_ROWS, Request, job::ShowJob},
    job::{JobDetail, JobRef},
    problem::Problem,
    time::Timestamp,
};

use super::super::{
    Context, moments,
    output::Format,
    screen,
    session::{Session, ask},
};

/// Watch what a job uses
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share job top 42\n  compute-share job top 42.7\n  compute-share job top 42 -o json"
)]
pub(in super::super) struct Top {
    #[arg(value_name = "JOB[.TASK]")]
    job: JobRef,
}

/// What is shown at one moment.
#[derive(Debug)]
struct Snapshot {
    job: Box<JobDetail>,
    at: Timestamp,
}

impl Top {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        let output = context.output;
        let live = std::io::stdout().is_terminal() && output.format == Format::Human;
        let shown = if live && !output.quiet {
            screen::watch(async || self.ask(&session).await, view::draw).await
        } else {
            self.ask(&session).await.and_then(|snapshot| {
                let ids = |job: &JobDetail| vec![job.summary.id.to_string()];
                let at = snapshot.at;
                output.show(&*snapshot.job, ids, |job| view::text(job, at))
            })
        };
        session.end().await;
        shown
    }

    async fn ask(&self, session: &Session) -> Result<Snapshot, Problem> {
        let request = Request::ShowJob(ShowJob {
            org: session.org,
            number: self.job.number,
            task: self.job.task,
            attempts: MAX_ROWS,
            live: true,
        });
        Ok(Snapshot {
            job: ask!(session, request, Answer::Job(job) => job)?,
            at: moments::now(),
        })
    }
}
