//! `job artifacts`: what a job's tasks left, and until when it is kept.

use std::collections::BTreeMap;

use clap::Args;
use common::{
    api::{Answer, MAX_ROWS, Request, job::ShowJob},
    job::{ArtifactsView, AttemptView, JobNumber, JobRef},
    problem::Problem,
    time::Timestamp,
    tree::{EntryKind, Tree, TreePath},
    units::Bytes,
    wire::client::DownloadSource,
};
use serde::Serialize;

use super::super::{
    Context,
    amounts::counted,
    moments::local,
    sending::describe,
    session::{Session, ask},
    table::Table,
};

/// Most paths that a table shows; -o json has all of them.
const MAX_SHOWN: usize = 1000;

/// List what a job's tasks left: paths, sizes, and until when they are kept
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share job artifacts 42\n  compute-share job artifacts 42.7 --attempt 1\n\nOf an array each task is a line; the paths of one are listed for JOB.TASK. `job pull` fetches them, and\nanother job reads them with --dataset job:42:/data/prev."
)]
pub(in super::super) struct Artifacts {
    #[arg(value_name = "JOB[.TASK]")]
    job: JobRef,
    /// Of this task
    #[arg(long, value_name = "N")]
    task: Option<u32>,
    /// Of this try (default: the newest)
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
}

/// What one attempt left.
#[derive(Debug, Serialize)]
pub(super) struct Left {
    task: u32,
    attempt: u32,
    artifacts: ArtifactsView,
    kept_until: Option<Timestamp>,
    /// Of one attempt that was asked for, where it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<Vec<Listed>>,
}

/// A file or a link.
#[derive(Debug, Serialize)]
struct Listed {
    path: TreePath,
    /// `None` for a link.
    bytes: Option<Bytes>,
}

impl Artifacts {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let JobRef { number, task } = self.job;
        let task = self.task.or(task);
        let session = context.session().await?;
        let request = Request::ShowJob(ShowJob {
            org: session.org,
            number,
            task,
            attempts: MAX_ROWS,
            live: false,
        });
        let job = ask!(session, request, Answer::Job(job) => job)?;
        let single = task.is_some() || job.spec.task_count() == 1 && job.spec.array.is_none();
        let mut left: Vec<Left> = newest(&job.attempts, self.attempt)
            .into_iter()
            .map(Left::of)
            .collect();
        if single {
            let task = task.unwrap_or(0);
            if left.is_empty() && self.attempt.is_some() {
                // The coordinator knows why there is none.
                tree(&session, number, task, self.attempt).await?;
            }
            for one in &mut left {
                if let ArtifactsView::Stored { .. } = one.artifacts {
                    let tree = tree(&session, number, task, self.attempt).await?;
                    one.entries = Some(entries(&tree));
                }
            }
        }
        if job.attempts_left_out > 0 {
            let more = job.attempts_left_out;
            context
                .output
                .note(&format!("{more} attempts are not looked at; name a task"));
        }
        session.end().await;
        let ids = |left: &Vec<Left>| left.iter().flat_map(Left::paths).collect();
        context
            .output
            .show(&left, ids, |left| text(left, number, single))
    }
}

/// Returns of each task its newest attempt, or that of this number.
pub(super) fn newest(attempts: &[AttemptView], number: Option<u32>) -> Vec<&AttemptView> {
    let mut found: BTreeMap<u32, &AttemptView> = BTreeMap::new();
    let wanted = |attempt: &&AttemptView| number.is_none_or(|number| attempt.number == number);
    for attempt in attempts.iter().filter(wanted) {
        let known = found.entry(attempt.task).or_insert(attempt);
        if attempt.number > known.number {
            *known = attempt;
        }
    }
    found.into_values().collect()
}

async fn tree(
    session: &Session,
    job: JobNumber,
    task: u32,
    attempt: Option<u32>,
) -> Result<Tree, Problem> {
    let source = DownloadSource::Artifacts { job, task, attempt };
    let described = describe(session, source).await?;
    Ok(described.tree().clone())
}

fn entries(tree: &Tree) -> Vec<Listed> {
    let listed = tree.entries().iter().filter_map(|entry| {
        let bytes = match &entry.kind {
            EntryKind::Directory => return None,
            EntryKind::Symlink { .. } => None,
            EntryKind::File { chunks, .. } => {
                let sizes = chunks.iter().map(|chunk| u64::from(chunk.bytes));
                Some(Bytes(sizes.sum()))
            }
        };
        let path = entry.path.clone();
        Some(Listed { path, bytes })
    });
    listed.collect()
}

impl Left {
    fn of(attempt: &AttemptView) -> Self {
        Self {
            task: attempt.task,
            attempt: attempt.number,
            artifacts: attempt.artifacts,
            kept_until: attempt.artifacts_kept_until,
            entries: None,
        }
    }

    fn paths(&self) -> Vec<String> {
        let entries = self.entries.iter().flatten();
        entries.map(|entry| entry.path.to_string()).collect()
    }

    /// Returns what it left in words, and until when that is kept.
    fn said(&self) -> (String, String) {
        let until = match (self.artifacts, self.kept_until) {
            (ArtifactsView::Stored { .. }, None) => "for good".to_owned(),
            (_, until) => until.map(local).unwrap_or_default(),
        };
        let what = match self.artifacts {
            ArtifactsView::NotYet => "the task has not ended".to_owned(),
            ArtifactsView::None => "nothing".to_owned(),
            ArtifactsView::Pending => "on its way from the machine".to_owned(),
            ArtifactsView::Stored { bytes, files, .. } => {
                format!("{}, {bytes}", counted(files, "file"))
            }
            ArtifactsView::Lost => "lost with the machine".to_owned(),
            ArtifactsView::Forgotten { at, bytes, files } => {
                let what = format!("{}, {bytes}", counted(files, "file"));
                format!("{what}, kept until {}", local(at))
            }
        };
        (what, until)
    }
}

fn text(left: &[Left], number: JobNumber, single: bool) -> String {
    match left {
        [] => "No task was tried yet.".to_owned(),
        [one] if single => one_text(one),
        all => {
            let mut table = Table::new(&[">TASK", ">TRY", "LEFT", "KEPT UNTIL"]);
            for one in all {
                let (what, until) = one.said();
                table.row([
                    format!("{number}.{}", one.task),
                    one.attempt.to_string(),
                    what,
                    until,
                ]);
            }
            table.to_text("")
        }
    }
}

fn one_text(one: &Left) -> String {
    let (what, until) = one.said();
    let until = match until.as_str() {
        "" => String::new(),
        "for good" => ", kept for good".to_owned(),
        until => format!(", kept until {until}"),
    };
    let Some(entries) = &one.entries else {
        return format!("Left: {what}{until}.");
    };
    let mut table = Table::new(&["PATH", ">SIZE"]);
    for entry in entries.iter().take(MAX_SHOWN) {
        let size = entry
            .bytes
            .map_or("link".to_owned(), |bytes| bytes.to_string());
        table.row([entry.path.to_string(), size]);
    }
    let mut text = table.to_text("");
    if entries.len() > MAX_SHOWN {
        text += &format!(
            "and {} more; -o json shows all\n",
            entries.len() - MAX_SHOWN
        );
    }
    format!("{text}{what}{until}.")
}
