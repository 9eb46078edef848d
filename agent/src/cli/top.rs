//! `top`: the pool, live. Asks once a second over one connection; `q` quits.

mod view;

use std::io::IsTerminal;

use clap::Args;
use common::{
    api::{Answer, Request, job::ListJobs},
    code::Code,
    job::JobSummary,
    machine::MachineView,
    org::OrgOverview,
    problem::Problem,
    status::JobStatus,
};

use super::{
    Context, machine,
    moments::now,
    pages, screen,
    session::{Session, ask},
};

/// Most jobs that are asked for; a screen shows fewer.
const MOST_JOBS: u32 = 200;

/// Watch machines, queue and running jobs
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share top")]
pub(super) struct Top {}

/// What is shown at one moment.
#[derive(Debug)]
struct Snapshot {
    org: OrgOverview,
    machines: Vec<MachineView>,
    jobs: Vec<JobSummary>,
    at: common::time::Timestamp,
}

impl Top {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        if !std::io::stdout().is_terminal() {
            let why = "it draws on a terminal, and stdout is none";
            return Err(
                Problem::new(Code::BadRequest, "`top` cannot be shown here", why)
                    .help("Use `compute-share ps` and `compute-share machine list`."),
            );
        }
        let session = context.session().await?;
        let watched = screen::watch(async || ask_all(&session).await, view::draw).await;
        session.end().await;
        watched
    }
}

async fn ask_all(session: &Session) -> Result<Snapshot, Problem> {
    let org = session.org;
    let overview =
        async { ask!(session, Request::ShowOrg { org }, Answer::Org(overview) => *overview) };
    let machines = machine::every(session);
    let jobs = pages::first(MOST_JOBS, async |before, limit| {
        let list = ListJobs {
            org,
            status: vec![
                JobStatus::AwaitingApproval,
                JobStatus::Queued,
                JobStatus::Running,
            ],
            owner: None,
            project: None,
            before,
            limit,
        };
        ask!(session, Request::ListJobs(list), Answer::Jobs(page) => page)
    });
    let (org, machines, jobs) = tokio::try_join!(overview, machines, jobs)?;
    Ok(Snapshot {
        org,
        machines,
        jobs: jobs.rows,
        at: now(),
    })
}
