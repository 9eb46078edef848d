//! `job pull`: a job's artifacts into a folder.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use common::{
    api::{Answer, MAX_ROWS, Request, job::ShowJob},
    code::Code,
    job::{ArtifactsView, AttemptView, JobRef},
    problem::Problem,
    time::Timestamp,
    tree::TreePath,
    wire::client::DownloadSource,
};
use serde::Serialize;

use super::super::{
    Context,
    amounts::counted,
    moments::{local, now},
    progress::TransferBar,
    sending::part,
    session::{Session, ask},
};
use super::artifacts::newest;
use crate::transfer::{self, MemberTree};

/// What is kept no longer than this is said to go.
const NEAR: Duration = Duration::from_secs(7 * 86_400);

/// Fetch a job's artifacts; those of an array's tasks into a folder each
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share job pull 42 --to results\n  compute-share job pull 42 --path checkpoints/last\n  compute-share job pull 42.7"
)]
pub(in super::super) struct Pull {
    #[arg(value_name = "JOB[.TASK]")]
    job: JobRef,
    /// Of this try (default: the newest)
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// Only this file or folder of it
    #[arg(long, value_name = "PATH", value_parser = part)]
    path: Option<TreePath>,
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
        let one_each = (job.spec.array.is_some() || job.spec.gang().is_some()) && task.is_none();
        let left = with_artifacts(&job.attempts, self.attempt);
        if left.is_empty() {
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
        for attempt in &left {
            let task = attempt.task;
            let source = DownloadSource::Artifacts {
                job: number,
                task,
                attempt: self.attempt,
            };
            let into = if one_each {
                folder.join(task.to_string())
            } else {
                folder.clone()
            };
            pulled.push(pull_task(context, &session, source, self.path.as_ref(), into).await?);
        }
        session.end().await;
        if let Some(until) = soonest(&left) {
            let until = local(until);
            context.output.note(&format!(
                "The coordinator keeps this until {until}: what is needed longer is best kept as a dataset."
            ));
        }
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
    source: DownloadSource,
    path: Option<&TreePath>,
    into: PathBuf,
) -> Result<Pulled, Problem> {
    let task = match source {
        DownloadSource::Artifacts { task, .. } => task,
        DownloadSource::Dataset { .. } => 0,
    };
    let bar = TransferBar::new(context.output, &format!("task {task}"));
    let from = MemberTree {
        org: session.org,
        source,
    };
    let tree = transfer::download(session.client.connection(), &from, &into, path, &bar).await;
    bar.finish();
    let tree = tree?;
    Ok(Pulled {
        task,
        folder: into,
        files: tree.file_count(),
        bytes: tree.bytes(),
    })
}

/// Returns when the first of this goes, if that is near.
fn soonest(left: &[&AttemptView]) -> Option<Timestamp> {
    let until = left
        .iter()
        .filter_map(|attempt| attempt.artifacts_kept_until);
    let near = now().saturating_add(NEAR);
    until.min().filter(|until| *until <= near)
}

/// Returns the attempts that left something, or may have: of each task the newest, or the one of this number.
fn with_artifacts(attempts: &[AttemptView], number: Option<u32>) -> Vec<&AttemptView> {
    let mut left = newest(attempts, number);
    left.retain(|attempt| {
        matches!(
            attempt.artifacts,
            ArtifactsView::Stored { .. } | ArtifactsView::Pending
        )
    });
    left
}
