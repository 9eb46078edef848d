//! Jobs: submission, cancellation.

mod specification;

use common::{
    api::job::{CancelJob, SubmitJob},
    dataset::DatasetRef,
    id::{JobId, OrgId, ProjectId, UserId},
    image::Image,
    job::{JobNumber, JobSpec},
    status::{EndReason, Role},
    time::Timestamp,
};

use super::{
    artifact,
    dataset::missing,
    draft::Draft,
    find_job, find_task, graph, rerun,
    secret::check_uses,
    submission::{Submission, admit},
    waiting,
};
use crate::{
    command::job::JobCommand,
    event::{Event, PinnedArtifacts, PinnedDataset, waiting::Awaited},
    policy::{self, Action, permit, project::ProjectAction},
    rejection::{
        Rejection,
        project::ProjectRejection,
        waiting::{HoldStep, WaitingRejection},
    },
    state::{
        State,
        job::{Job, JobProgress},
    },
};

pub(super) fn decide(
    state: &State,
    at: Timestamp,
    user: UserId,
    command: &JobCommand,
) -> Result<Vec<Event>, Rejection> {
    match command {
        JobCommand::Hold(request) => waiting::hold(state, at, user, request, HoldStep::Hold),
        JobCommand::SubmitGraph { jobs, request } => graph::submit(state, at, user, jobs, request),
        JobCommand::Rerun { job, request } => rerun::rerun(state, at, user, *job, request),
        JobCommand::Release(request) => waiting::hold(state, at, user, request, HoldStep::Release),
    }
}

pub(super) fn submit(
    state: &State,
    at: Timestamp,
    user: UserId,
    id: JobId,
    request: &SubmitJob,
) -> Result<Vec<Event>, Rejection> {
    if request.dry_run {
        return Err(Rejection::DryRun);
    }
    let submission = Submission {
        id,
        org: request.org,
        key: request.key,
        spec: &request.spec,
        rerun: None,
    };
    permit(state, request.org, user, Action::SubmitJob)?;
    admit(state, at, user, &submission)
}

/// What a specification names, as it is now.
#[derive(Debug)]
pub(crate) struct Pinned {
    pub(super) project: Option<ProjectId>,
    /// In the order of the specification.
    pub(super) datasets: Vec<PinnedDataset>,
    /// Where it is kept as a dataset.
    pub(super) image: Option<PinnedDataset>,
    pub(super) artifacts: Vec<PinnedArtifacts>,
    /// What it has to wait for of other jobs.
    pub(super) awaits: Vec<Awaited>,
}

/// Checks all of a specification but limits and machines, and returns its datasets as they are now.
pub(crate) fn acceptable(
    state: &State,
    user: UserId,
    org: OrgId,
    spec: &JobSpec,
) -> Result<Pinned, Rejection> {
    let member = permit(state, org, user, Action::SubmitJob)?;
    specification::check(spec)?;
    let project = project(state, user, org, spec)?;
    let role = member.role;
    check_uses(state, user, role, (org, project), &spec.secrets)?;
    let by = Submitter {
        user,
        role,
        org,
        project,
    };
    let pin = |wanted: &DatasetRef, path: &str| pin(state, &by, wanted, path);
    let mounts = spec.datasets.iter();
    let datasets = mounts.map(|mount| {
        let pinned = pin(&mount.dataset, mount.path.trim_end_matches('/'))?;
        let lazy = mount.lazy;
        Ok::<_, Rejection>(PinnedDataset { lazy, ..pinned })
    });
    let mut artifacts = Vec::new();
    for mount in &spec.artifacts {
        artifacts.extend(artifact::pin(state, user, org, project, mount)?);
    }
    specification::check_count(spec.datasets.len() + artifacts.len())?;
    Ok(Pinned {
        project,
        datasets: datasets.collect::<Result<_, _>>()?,
        image: match &spec.image {
            Image::Imported(wanted) => Some(pin(wanted, "")?),
            Image::Host | Image::Registry(_) => None,
        },
        artifacts,
        awaits: waiting::pin(state, user, org, &spec.after)?,
    })
}

impl Pinned {
    pub(crate) fn into_datasets(self) -> Vec<PinnedDataset> {
        self.datasets
    }
}

/// Returns the project that the job is to belong to.
fn project(
    state: &State,
    user: UserId,
    org: OrgId,
    spec: &JobSpec,
) -> Result<Option<ProjectId>, Rejection> {
    let Some(name) = &spec.project else {
        return Ok(None);
    };
    let seen = policy::project::permit(state, user, org, name, ProjectAction::Submit)?;
    if spec.visibility.is_some() {
        return Err(ProjectRejection::OwnVisibility { name: name.clone() }.into());
    }
    Ok(Some(seen.id))
}

/// Who submits, and where.
struct Submitter {
    user: UserId,
    role: Role,
    org: OrgId,
    project: Option<ProjectId>,
}

/// Returns a version of a dataset that the user may read, and use in that project or outside of any.
fn pin(
    state: &State,
    by: &Submitter,
    wanted: &DatasetRef,
    path: &str,
) -> Result<PinnedDataset, Rejection> {
    let names = state.index.dataset_names.get(&by.org);
    let found = names.and_then(|names| {
        let id = names.get(&wanted.name)?;
        let dataset = state.datasets.get(id)?;
        policy::may_read_dataset(state, by.user, by.role, dataset).then_some((*id, dataset))
    });
    let (id, dataset) = found.ok_or_else(|| missing(state, by.user, by.org, &wanted.name))?;
    if let Some(home) = dataset.project.filter(|home| by.project != Some(*home))
        && !policy::project::may(state, home, by.user, ProjectAction::CopyOut)
    {
        return Err(ProjectRejection::CopyOut {
            what: format!("dataset {}", wanted.name),
            project: super::project::name_of(state, Some(home))
                .unwrap_or_else(|| wanted.name.clone()),
        }
        .into());
    }
    let version = dataset.version(wanted.version);
    let (number, version) = version.ok_or_else(|| Rejection::no_such_version(dataset, wanted))?;
    Ok(PinnedDataset {
        dataset: id,
        name: wanted.name.clone(),
        version: number,
        tree: version.tree,
        path: path.to_owned(),
        lazy: false,
    })
}

/// A job that the user may cancel, and so hold and release.
pub(super) struct Cancellable<'a> {
    pub(super) id: JobId,
    pub(super) job: &'a Job,
    pub(super) role: Role,
}

pub(super) fn cancellable(
    state: &State,
    user: UserId,
    org: OrgId,
    number: JobNumber,
) -> Result<Cancellable<'_>, Rejection> {
    let (id, job) = find_job(state, user, org, number)?;
    let role = policy::member(state, org, user)?.role;
    if policy::may_cancel_job(state, user, role, job) {
        return Ok(Cancellable { id, job, role });
    }
    Err(Rejection::NotAllowed {
        action: Action::CancelAnyJob,
        role,
    })
}

/// Returns how far a job is that is there.
pub(super) fn progress(
    state: &State,
    id: JobId,
    number: JobNumber,
) -> Result<&JobProgress, Rejection> {
    let progress = state.progress.get(&id);
    progress.ok_or(Rejection::NoSuchJob { number })
}

pub(super) fn cancel(
    state: &State,
    at: Timestamp,
    user: UserId,
    request: &CancelJob,
) -> Result<Vec<Event>, Rejection> {
    let Cancellable { id, job, role } = cancellable(state, user, request.org, request.number)?;
    let progress = progress(state, id, job.number)?;
    if progress.ended_at.is_some() {
        return Err(Rejection::JobEnded {
            number: job.number,
            status: progress.status(),
        });
    }
    let mut draft = Draft::new(state, at);
    match request.task {
        None => {
            draft.cancel_job(id);
            if request.dependants {
                let dependants = waiting::dependants(state, user, role, (id, job))?;
                dependants.into_iter().for_each(|id| draft.cancel_job(id));
            }
        }
        Some(_) if request.dependants => {
            let number = job.number;
            return Err(WaitingRejection::DependantsOfTask { number }.into());
        }
        // They end together, and none waits alone.
        Some(task) if job.spec.gang().is_some() => {
            find_task(job, task)?;
            draft.cancel_job(id);
        }
        Some(task) => {
            find_task(job, task)?;
            let live = state.index.live.get(&id);
            let mut placed = live
                .into_iter()
                .flatten()
                .copied()
                .chain(state.index.chains.waiting(id));
            if let Some(attempt) = placed.find(|attempt| attempt.task == task) {
                draft.stop(attempt, EndReason::Cancelled);
            } else if progress.waits(task) {
                draft.cancel_queued_task(id, task);
            } else {
                return Err(Rejection::TaskEnded {
                    number: job.number,
                    task,
                });
            }
        }
    }
    Ok(draft.into_events())
}
