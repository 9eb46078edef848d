//! What tasks left: whose it is to have, and what of it another job reads.

use common::{
    id::{AttemptId, JobId, OrgId, ProjectId, TreeId, UserId},
    job::{ArtifactMount, ArtifactsView, JobRef, MAX_DATASETS},
    time::Timestamp,
};

use super::{find_job, find_task, project::name_of};
use crate::{
    policy::{self, project::ProjectAction},
    rejection::{ArtifactRejection, Rejection, project::ProjectRejection},
    state::{
        State,
        job::{Job, PinnedArtifacts},
    },
};

/// What an attempt left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// And when it came.
    Stored(AttemptId, TreeId, Timestamp),
    /// The task has not ended, or its files are on their way.
    NotYet,
}

/// Returns what a task of a job left: its newest attempt, or another one of it.
///
/// # Errors
/// It left nothing, or that is not kept any more; there is no such attempt.
pub(crate) fn left(
    state: &State,
    (id, job): (JobId, &Job),
    task: u32,
    attempt: Option<u32>,
) -> Result<Left, Rejection> {
    find_task(job, task)?;
    let progress = state.progress.get(&id);
    let queued = progress.is_some_and(|progress| progress.waits(task));
    if queued && attempt.is_none() {
        return Ok(Left::NotYet);
    }
    let number = job.number;
    let found = match attempt {
        None => state.newest_attempt(id, task),
        Some(wanted) => {
            let wanted = AttemptId {
                job: id,
                task,
                number: wanted,
            };
            let row = state.attempts.get(&wanted);
            Some((
                wanted,
                row.ok_or(ArtifactRejection::NoSuchAttempt {
                    number,
                    task,
                    attempt: wanted.number,
                    newest: state
                        .newest_attempt(id, task)
                        .map(|(newest, _)| newest.number),
                })?,
            ))
        }
    };
    let none = |lost| Rejection::NoArtifacts { number, task, lost };
    let Some((found, row)) = found else {
        return Err(none(false));
    };
    if let Some((tree, _, at)) = row.stored() {
        return Ok(Left::Stored(found, tree, at));
    }
    match row.artifacts {
        ArtifactsView::None => Err(none(false)),
        ArtifactsView::Lost => Err(none(true)),
        ArtifactsView::Forgotten { at, .. } => {
            Err(ArtifactRejection::Forgotten { number, task, at }.into())
        }
        ArtifactsView::NotYet | ArtifactsView::Pending | ArtifactsView::Stored { .. } => {
            Ok(Left::NotYet)
        }
    }
}

/// Checks that the project of a job, if there is one, lets the user have files of it.
///
/// # Errors
/// Their access is too low.
pub(crate) fn check_download(
    state: &State,
    user: UserId,
    project: Option<ProjectId>,
) -> Result<(), Rejection> {
    project.map_or(Ok(()), |project| {
        policy::project::check(state, project, user, ProjectAction::Download)
    })
}

/// Returns what a job that belongs to `project` would read of what another one left, as it is now.
///
/// # Errors
/// The user could not fetch it themselves, may not take it out of its project, or it is not all there.
pub(super) fn pin(
    state: &State,
    user: UserId,
    org: OrgId,
    project: Option<ProjectId>,
    mount: &ArtifactMount,
) -> Result<Vec<PinnedArtifacts>, Rejection> {
    let JobRef { number, task } = mount.job;
    let (id, job) = find_job(state, user, org, number)?;
    check_download(state, user, job.project)?;
    if let Some(home) = job.project.filter(|home| project != Some(*home))
        && !policy::project::may(state, home, user, ProjectAction::CopyOut)
        && let Some(project) = name_of(state, Some(home))
    {
        let what = format!("what job {} left", mount.job);
        return Err(ProjectRejection::CopyOut { what, project }.into());
    }
    let path = mount.path.trim_end_matches('/');
    let pinned =
        |task: u32, reference: JobRef, path: String| match left(state, (id, job), task, None)? {
            Left::Stored(attempt, tree, at) => Ok(PinnedArtifacts {
                attempt,
                job: reference,
                tree,
                at,
                path,
            }),
            Left::NotYet => Err(not_yet(state, id, mount.job)),
        };
    let of_each = job.spec.array.is_some() || job.spec.gang().is_some();
    match (task, of_each) {
        (Some(task), _) => Ok(vec![pinned(task, mount.job, path.to_owned())?]),
        (None, false) => Ok(vec![pinned(0, mount.job, path.to_owned())?]),
        (None, true) => {
            let progress = state.progress.get(&id);
            if progress.is_none_or(|progress| progress.ended_at.is_none()) {
                return Err(not_yet(state, id, mount.job));
            }
            all(job, mount.job, |task| {
                let reference = JobRef {
                    number,
                    task: Some(task),
                };
                pinned(task, reference, format!("{path}/{task}"))
            })
        }
    }
}

/// Returns the content that is meant, as it is now, as far as it is there; whose it is to have is not asked.
pub(crate) fn trees(state: &State, org: OrgId, wanted: JobRef) -> Vec<TreeId> {
    let number = (org, wanted.number);
    let found = state.index.job_numbers.get(&number);
    let Some((id, job)) = found.and_then(|id| Some((*id, state.jobs.get(id)?))) else {
        return Vec::new();
    };
    let tasks: Vec<u32> = match wanted.task {
        Some(task) => vec![task],
        None => job.tasks().take(MAX_DATASETS).collect(),
    };
    let left = tasks
        .into_iter()
        .filter_map(|task| match left(state, (id, job), task, None) {
            Ok(Left::Stored(_, tree, _)) => Some(tree),
            _ => None,
        });
    left.collect()
}

/// Pins what every task of an array left; tasks that left nothing are no folder.
fn all(
    job: &Job,
    wanted: JobRef,
    pinned: impl Fn(u32) -> Result<PinnedArtifacts, Rejection>,
) -> Result<Vec<PinnedArtifacts>, Rejection> {
    let most = MAX_DATASETS;
    if job.task_count() as usize > most {
        let tasks = job.task_count();
        return Err(ArtifactRejection::TooManyTasks {
            job: wanted,
            tasks,
            most,
        }
        .into());
    }
    let mut all = Vec::new();
    for task in job.tasks() {
        match pinned(task) {
            Err(Rejection::NoArtifacts { lost: false, .. }) => {}
            pinned => all.push(pinned?),
        }
    }
    if all.is_empty() {
        let (number, task) = (job.number, job.tasks().next().unwrap_or_default());
        return Err(Rejection::NoArtifacts {
            number,
            task,
            lost: false,
        });
    }
    Ok(all)
}

fn not_yet(state: &State, id: JobId, job: JobRef) -> Rejection {
    let ended = state
        .progress
        .get(&id)
        .is_some_and(|progress| match job.task {
            None => progress.ended_at.is_some(),
            Some(task) => {
                !progress.waits(task)
                    && state
                        .newest_attempt(id, task)
                        .is_some_and(|(_, row)| !row.is_live())
            }
        });
    ArtifactRejection::NotYet { job, ended }.into()
}
