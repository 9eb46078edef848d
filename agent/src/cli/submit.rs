//! `submit`: sends the work folder, then the job, and prints its number. `run` begins the same way.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use common::{
    api::{
        Answer, Request,
        explain::Explanation,
        job::{SubmitJob, Submitted},
    },
    code::Code,
    id::TreeId,
    problem::Problem,
    status::JobStatus,
    units::Bytes,
    wire::client::ClientStream,
};

use super::{
    Context, explain, image,
    job_flags::{Asked, JobFlags, Workdir},
    progress::TransferBar,
    session::{Session, ask},
};
use crate::transfer::{self, WalkOptions, Walked};

/// Most that is sent of a folder that nobody named: more is surely a mistake.
const MOST_UNASKED: Bytes = Bytes::gib(1);

/// Submit a job and print its number
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share submit --cpu 4 --gpu rtx-4090:1 -- python3 train.py\n  compute-share submit job.yaml --array 0-99%10\n  compute-share submit --image python:3.12 --network internet -- python3 train.py\n  compute-share submit --gpu rtx-4090:1 --gpu-memory 8GiB --gpu-share --dry-run -- python3 eval.py\n\nKeys of a job file: name image command workdir env\n  resources{cpu memory disk gpu{count model memory share}} datasets outputs\n  network isolation priority max_runtime retries{max on} array\n  project visibility secrets"
)]
pub(super) struct Submit {
    #[command(flatten)]
    flags: JobFlags,
}

impl Submit {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        if self.flags.dry_run {
            return dry_run(context, self.flags).await.map(|_| ());
        }
        let (session, submitted) = submit(context, self.flags).await?;
        session.end().await;
        context.output.show(
            &submitted,
            |submitted| vec![submitted.number.to_string()],
            |submitted| match awaits(submitted) {
                None => format!("Job {}.", submitted.number),
                Some(waits) => format!("Job {}. {waits}", submitted.number),
            },
        )
    }
}

/// Returns what is said of a job that is not in the queue yet.
pub(super) fn awaits(submitted: &Submitted) -> Option<String> {
    let number = submitted.number;
    (submitted.status == JobStatus::AwaitingApproval).then(|| {
        format!("It awaits an admin's approval; `compute-share job why {number}` says what for.")
    })
}

/// Submits what the flags say; the session goes on.
pub(super) async fn submit(
    context: &Context,
    flags: JobFlags,
) -> Result<(Session, Submitted), Problem> {
    let Asked {
        draft,
        workdir,
        key,
    } = flags.read()?;
    // What cannot be a job is said before anything is sent.
    let mut spec = draft.into_spec(None)?;
    let login = image::pin(&mut spec).await?;
    let folder = folder_to_send(workdir)?;
    let walked = match folder {
        None => None,
        Some((folder, options)) => Some(walk(folder, options).await?),
    };
    let walked = walked.filter(|walked| !walked.tree().entries().is_empty());
    let session = context.session().await?;
    image::seal(&session, &mut spec, login).await?;
    let submitted = with_files(async || {
        let mut spec = spec.clone();
        if let Some(walked) = &walked {
            spec.workdir = Some(send(context, &session, walked).await?);
        }
        let request = Request::SubmitJob(Box::new(SubmitJob {
            org: session.org,
            spec,
            key,
            dry_run: false,
        }));
        ask!(session, request, Answer::Submitted(submitted) => submitted)
    })
    .await?;
    Ok((session, submitted))
}

/// Sends files and names them in a request; once more where the coordinator has forgotten by then who sent them, as it
/// does when it starts anew. What it has of them does not travel again.
pub(super) async fn with_files<T>(
    send_and_ask: impl AsyncFn() -> Result<T, Problem>,
) -> Result<T, Problem> {
    match send_and_ask().await {
        Err(problem) if problem.code == Code::NotUploaded => send_and_ask().await,
        done => done,
    }
}

/// Asks what would happen, and says it. Nothing is sent but the question.
pub(super) async fn dry_run(context: &Context, flags: JobFlags) -> Result<ExitCode, Problem> {
    let Asked { draft, key, .. } = flags.read()?;
    let mut spec = draft.into_spec(None)?;
    // A login is not needed to say what would happen.
    image::pin(&mut spec).await?;
    let session = context.session().await?;
    let request = Request::SubmitJob(Box::new(SubmitJob {
        org: session.org,
        spec,
        key,
        dry_run: true,
    }));
    let explanation: Explanation =
        ask!(session, request, Answer::Explanation(explanation) => explanation)?;
    session.end().await;
    context
        .output
        .show(&explanation, |_| Vec::new(), explain::text)?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the folder that goes with the job.
///
/// # Errors
/// Nobody named one, and the current one is too much to be meant.
fn folder_to_send(workdir: Workdir) -> Result<Option<(PathBuf, WalkOptions)>, Problem> {
    match workdir {
        Workdir::None => Ok(None),
        Workdir::Named(folder) => Ok(Some((folder, WalkOptions::default()))),
        Workdir::Current => {
            let current = std::env::current_dir().map_err(|error| {
                Problem::new(
                    Code::BadFolder,
                    "the current folder cannot be sent",
                    error.to_string(),
                )
            })?;
            check_meant(&current, std::env::var_os("HOME").as_deref().map(Path::new))?;
            let options = WalkOptions {
                max_bytes: MOST_UNASKED,
                ..WalkOptions::default()
            };
            Ok(Some((current, options)))
        }
    }
}

fn check_meant(current: &Path, home: Option<&Path>) -> Result<(), Problem> {
    let is_home = home.is_some_and(|home| {
        let real = home.canonicalize();
        real.is_ok_and(|home| current.canonicalize().is_ok_and(|current| current == home))
    });
    let why = match (is_home, current.parent()) {
        (true, _) => "it is your home folder, which was surely not meant",
        (false, None) => "it is the root of all files, which was surely not meant",
        (false, Some(_)) => return Ok(()),
    };
    Err(Problem::new(Code::BadFolder, "the current folder is not sent along", why)
        .help("Go to the job's own folder, name it with --workdir DIR, or send none with --no-workdir."))
}

/// Walks a folder on a thread of its own: a connection that is open meanwhile stays alive.
pub(super) async fn walk(folder: PathBuf, options: WalkOptions) -> Result<Walked, Problem> {
    let unasked = options.max_bytes == MOST_UNASKED;
    let walking = tokio::task::spawn_blocking(move || transfer::walk(&folder, &options));
    let walked = walking.await.unwrap_or_else(|error| {
        Err(Problem::new(
            Code::Internal,
            "the folder cannot be read",
            error.to_string(),
        ))
    });
    walked.map_err(|problem| {
        if unasked && problem.why.contains(&MOST_UNASKED.to_string()) {
            problem.help("Name it with --workdir DIR if it is meant, list what to leave out in .computeshareignore, or use --no-workdir.")
        } else {
            problem
        }
    })
}

async fn send(context: &Context, session: &Session, walked: &Walked) -> Result<TreeId, Problem> {
    let bar = TransferBar::new(context.output, "sending the work folder");
    let first = ClientStream::Upload { org: session.org };
    let sent = transfer::upload(session.client.connection(), &first, walked, &bar).await;
    bar.finish();
    sent
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn files_that_are_asked_for_again_are_sent_once_more() {
        let forgotten = || Problem::new(Code::NotUploaded, "the files are not here", "");
        let tries = Cell::new(0);
        let count = || tries.replace(tries.get() + 1);
        let then = with_files(async || match count() {
            0 => Err(forgotten()),
            _ => Ok(()),
        });
        assert_eq!((then.await, tries.take()), (Ok(()), 2));
        let never = with_files(async || {
            count();
            Err::<(), _>(forgotten())
        });
        assert_eq!((never.await, tries.take()), (Err(forgotten()), 2));
        let other = Problem::new(Code::Limit, "no", "");
        let refused = with_files(async || {
            count();
            Err::<(), _>(other.clone())
        });
        assert_eq!((refused.await, tries.take()), (Err(other.clone()), 1));
    }

    #[test]
    fn a_home_folder_is_never_sent_unasked() {
        let home = tempfile::tempdir().unwrap();
        let project = home.path().join("project");
        std::fs::create_dir(&project).unwrap();
        let check = |current: &Path| {
            check_meant(current, Some(home.path())).map_err(|problem| problem.code)
        };
        assert_eq!(check(home.path()), Err(Code::BadFolder));
        assert_eq!(check(&home.path().join("project/..")), Err(Code::BadFolder));
        assert_eq!(check(Path::new("/")), Err(Code::BadFolder));
        assert_eq!(check(&project), Ok(()));
        assert_eq!(
            check_meant(&project, None).map_err(|problem| problem.code),
            Ok(())
        );
    }
}
