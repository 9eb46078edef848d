//! `submit`: sends the work folder, then the job, and prints its number. `run` begins the same way.

mod graph;

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
    job::After,
    problem::Problem,
    status::JobStatus,
    units::Bytes,
    wire::client::UploadPurpose,
};

use super::{
    Context, each, explain, image,
    job_flags::{Asked, JobFlags, Workdir},
    sending::{send, walk, with_files},
    session::{Session, ask},
};
use crate::transfer::{WalkOptions, Walked};

/// Most that is sent of a folder that nobody named: more is surely a mistake.
const MOST_UNASKED: Bytes = Bytes::gib(1);

/// Most jobs that are named of those that one waits for.
const MAX_AWAITED_NAMED: usize = 4;

/// Submit a job, or a graph of jobs, and print its number
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share submit --cpu 4 --gpu rtx-4090:1 -- python3 train.py\n  compute-share submit job.yaml --array 0-99%10\n  compute-share submit --each params.jsonl%10 -- python3 train.py --lr {lr} --seed {seed}\n  compute-share submit --after 41:succeeded -- python3 evaluate.py\n  compute-share submit graph.yaml\n  compute-share submit --image python:3.12 --network internet -- python3 train.py\n  compute-share submit --gpu rtx-4090:1 --gpu-memory 8GiB --gpu-share --dry-run -- python3 eval.py\n\nKeys of a job file: name image command workdir env\n  resources{cpu memory disk gpu{count model memory share}} datasets outputs\n  network isolation sandbox priority max_runtime retries{max on} array each\n  project visibility secrets after hold labels exclusive nodes\n  checkpoint{signal grace}\n\nA file with `jobs:` is a graph: a job under each name, `after: [NAME]` or `[NAME:failed]` between them, and keys\nfor all of them under `defaults:`. All of it is submitted, or nothing."
)]
pub(super) struct Submit {
    #[command(flatten)]
    flags: JobFlags,
}

impl Submit {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        if let Some((file, flags)) = self.flags.graph()? {
            return graph::submit(context, file, flags).await;
        }
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
    let Submitted {
        number,
        status,
        awaits,
        held,
        ..
    } = submitted;
    let approval = (*status == JobStatus::AwaitingApproval).then(|| {
        format!("It awaits an admin's approval; `compute-share job why {number}` says what for.")
    });
    let held = held.then(|| format!("It is held; `compute-share job release {number}` ends that."));
    let others = (!awaits.is_empty()).then(|| format!("It waits for {}.", awaited(awaits)));
    let all: Vec<String> = [approval, held, others].into_iter().flatten().collect();
    (!all.is_empty()).then(|| all.join(" "))
}

/// Returns `job 40 to succeed, job 41 to end and 3 more`.
fn awaited(awaits: &[After]) -> String {
    let named = awaits.iter().take(MAX_AWAITED_NAMED);
    let named = named.map(|After { job, condition }| format!("job {job} to {}", condition.verb()));
    let named: Vec<String> = named.collect();
    match awaits.len() - named.len() {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// Submits what the flags say; the session goes on.
pub(super) async fn submit(
    context: &Context,
    flags: JobFlags,
) -> Result<(Session, Submitted), Problem> {
    let Asked {
        mut draft,
        workdir,
        key,
    } = flags.read()?;
    // What cannot be a job is said before anything is sent.
    let each = draft.each.take();
    let mut spec = draft.into_spec(None)?;
    let lines = each::read(each, &mut spec, context.output).await?;
    let login = image::pin(&mut spec).await?;
    let folder = folder_to_send(workdir)?;
    let walked = match folder {
        None => None,
        Some((folder, options)) => Some(walk_meant(folder, options).await?),
    };
    let walked = walked.filter(|walked| !walked.is_empty());
    let session = context.session().await?;
    image::seal(&session, &mut spec, login).await?;
    let submitted = with_files(async || {
        let mut spec = spec.clone();
        if let Some(walked) = &walked {
            let purpose = UploadPurpose::Workdir {
                project: spec.project.clone(),
            };
            let doing = "sending the work folder";
            spec.workdir = Some(send(context, &session, walked, purpose, None, doing).await?);
        }
        if let Some(lines) = &lines {
            let project = spec.project.clone();
            spec.params = Some(lines.send(context, &session, project).await?);
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

/// Asks what would happen, and says it. Nothing is sent but the question.
pub(super) async fn dry_run(context: &Context, flags: JobFlags) -> Result<ExitCode, Problem> {
    let Asked { mut draft, key, .. } = flags.read()?;
    let each = draft.each.take();
    let mut spec = draft.into_spec(None)?;
    each::read(each, &mut spec, context.output).await?;
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

/// Walks the folder that goes with the job.
async fn walk_meant(folder: PathBuf, options: WalkOptions) -> Result<Walked, Problem> {
    let unasked = options.max_bytes == MOST_UNASKED;
    walk(folder, options).await.map_err(|problem| {
        if unasked && problem.why.contains(&MOST_UNASKED.to_string()) {
            problem.help("Name it with --workdir DIR if it is meant, list what to leave out in .computeshareignore, or use --no-workdir.")
        } else {
            problem
        }
    })
}

#[cfg(test)]
mod tests {
    use common::{id::JobId, job::JobNumber, status::Condition};

    use super::*;

    #[test]
    fn what_a_job_waits_for_is_said_at_once() {
        let submitted = |awaits: &[u64], held| Submitted {
            id: JobId::from_bytes([1; 16]),
            number: JobNumber(42),
            status: JobStatus::Queued,
            awaits: awaits
                .iter()
                .map(|&job| After {
                    job: JobNumber(job),
                    condition: Condition::Succeeded,
                })
                .collect(),
            held,
        };
        assert_eq!(awaits(&submitted(&[], false)), None);
        assert_eq!(
            awaits(&submitted(&[40, 41], true)).unwrap(),
            "It is held; `compute-share job release 42` ends that. \
             It waits for job 40 to succeed, job 41 to succeed."
        );
        let many = awaits(&submitted(&[1, 2, 3, 4, 5, 6], false)).unwrap();
        assert!(many.ends_with("job 4 to succeed and 2 more."), "{many}");
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
