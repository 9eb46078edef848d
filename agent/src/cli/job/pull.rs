//! `job pull`: a job's artifacts into a folder.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;
use common::{
    api::{Answer, MAX_ROWS, Request, job::ShowJob},
    code::Code,
    job::{ArtifactsView, AttemptView, JobRef},
    problem::Problem,
    wire::client::DownloadSource,
};
use serde::Serialize;

use super::super::{
    Context,
    amounts::counted,
    progress::TransferBar,
    session::{Session, ask},
};
use crate::transfer::{self, MemberTree};

/// Fetch a job's artifacts; those of an array's tasks into a folder each
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share job pull 42 --to results\n  compute-share job pull 42.7"
)]
pub(in super::super) struct Pull {
    #[arg(value_name = "JOB[.TASK]")]
    job: JobRef,
    /// Folder, empty or not there yet (default: job-JOB)
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

/// One task's artifacts on this computer.
#[derive(Debug, Serialize)]
struct Pulled {
    task: u32,
    folder: PathBuf,
    files: u64,
    bytes: common::units::Bytes,
}

impl Pull {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let JobRef { number, task } = self.job;
        let session = context.session().await?;
        let request = Request::ShowJob(ShowJob {
            org: session.org,
            number,
            task,
            attempts: MAX_ROWS,
            live: false,
        });
        let job = ask!(session, request, Answer::Job(job) => job)?;
        let folder = self.to.unwrap_or_else(|| match task {
            None => PathBuf::from(format!("job-{number}")),
            Some(task) => PathBuf::from(format!("job-{number}.{task}")),
        });
        let one_each = job.spec.array.is_some() && task.is_none();
        let tasks = with_artifacts(&job.attempts);
        if tasks.is_empty() {
            let why = format!(
                "job {number} is {}; what it writes to /output is kept once it ends",
                job.summary.status
            );
            return Err(Problem::new(Code::NotFound, "there are no artifacts", why)
                .help("Wait for its end with `compute-share job wait`, or look at its log."));
        }
        if job.attempts_left_out > 0 {
            let more = job.attempts_left_out;
            context.output.note(&format!(
                "{more} attempts are not looked at; pull further tasks one by one"
            ));
        }
        let mut pulled = Vec::new();
        for task in tasks {
            let into = if one_each {
                folder.join(task.to_string())
            } else {
                folder.clone()
            };
            pulled.push(pull_task(context, &session, self.job, task, into).await?);
        }
        session.end().await;
        context.output.show(
            &pulled,
            |pulled| {
                pulled
                    .iter()
                    .map(|one| one.folder.display().to_string())
                    .collect()
            },
            |pulled| {
                let lines = pulled.iter().map(|one| {
                    format!(
                        "{}, {}, in {}.\n",
                        counted(one.files, "file"),
                        one.bytes,
                        one.folder.display()
                    )
                });
                lines.collect()
            },
        )
    }
}

async fn pull_task(
    context: &Context,
    session: &Session,
    job: JobRef,
    task: u32,
    into: PathBuf,
) -> Result<Pulled, Problem> {
    let bar = TransferBar::new(context.output, &format!("task {task}"));
    let from = MemberTree {
        org: session.org,
        source: DownloadSource::Artifacts {
            job: job.number,
            task,
            attempt: None,
        },
    };
    let tree = transfer::download(session.client.connection(), &from, &into, None, &bar).await;
    bar.finish();
    let tree = tree?;
    Ok(Pulled {
        task,
        folder: into,
        files: tree.file_count(),
        bytes: tree.bytes(),
    })
}

/// Returns the tasks whose newest attempt left something, or may have.
fn with_artifacts(attempts: &[AttemptView]) -> Vec<u32> {
    let mut newest: BTreeMap<u32, &AttemptView> = BTreeMap::new();
    for attempt in attempts {
        let known = newest.entry(attempt.task).or_insert(attempt);
        if attempt.number > known.number {
            *known = attempt;
        }
    }
    let left = newest.into_iter().filter(|(_, attempt)| {
        matches!(
            attempt.artifacts,
            ArtifactsView::Stored { .. } | ArtifactsView::Pending
        )
    });
    left.map(|(task, _)| task).collect()
}
