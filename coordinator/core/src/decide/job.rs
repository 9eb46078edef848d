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
    approval, artifact, dataset::missing, draft::Draft, find_job, find_task, secret::check_uses,
};
use crate::{
    bounds::{Reached, reached},
    event::{Event, PinnedArtifacts, PinnedDataset, approval::ApprovalSubject},
    policy::{self, Action, permit, project::ProjectAction},
    rejection::{LimitReached, Rejection, project::ProjectRejection},
    schedule::explain::{Subject, explain, is_never},
    state::{State, approval::of_job},
};

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
    let org = request.org;
    permit(state, org, user, Action::SubmitJob)?;
    let known = state.index.keys.get(&(user, request.key));
    if let Some(known) = known.and_then(|id| state.jobs.get(id)) {
        return if known.org == org && known.is_same(&request.spec) {
            Ok(Vec::new())
        } else {
            Err(Rejection::KeyConflict {
                number: known.number,
            })
        };
    }
    let pinned = acceptable(state, user, org, &request.spec)?;
    let row = state.orgs.get(&org).ok_or(Rejection::NoSuchOrg)?;
    let subject = Subject {
        org,
        owner: user,
        spec: &request.spec,
        job: None,
    };
    check_limits(state, &subject)?;
    if is_never(state, &subject) {
        let explanation = explain(state, at, &subject);
        return Err(Rejection::never_fits(state, &subject, explanation));
    }
    let submitted = Event::JobSubmitted {
        job: id,
        org,
        number: JobNumber(row.next_job_number),
        owner: user,
        project: pinned.project,
        visibility: match pinned.project {
            Some(_) => None,
            None => {
                let said = request.spec.visibility;
                Some(said.unwrap_or(row.settings.default_visibility))
            }
        },
        key: request.key,
        spec: Box::new(request.spec.clone()),
        pinned: pinned.datasets,
        pinned_image: pinned.image,
        pinned_artifacts: pinned.artifacts,
        at,
    };
    let asked = approval::job_note(row, &request.spec).map(|note| {
        let subject = ApprovalSubject::Job(id);
        approval::asked(of_job(id), org, subject, user, note, at)
    });
    Ok([submitted].into_iter().chain(asked).collect())
}

/// What a specification names, as it is now.
#[derive(Debug)]
pub(crate) struct Pinned {
    project: Option<ProjectId>,
    /// In the order of the specification.
    datasets: Vec<PinnedDataset>,
    /// Where it is kept as a dataset.
    image: Option<PinnedDataset>,
    artifacts: Vec<PinnedArtifacts>,
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

/// Refuses what could never start, or may not even wait, with every limit that says so.
fn check_limits(state: &State, subject: &Subject<'_>) -> Result<(), Rejection> {
    let reached = reached(state, subject).into_iter();
    let refusing = reached.filter(Reached::refuses_submission);
    let limits: Vec<LimitReached> = refusing.map(|reached| reached.limit).collect();
    if limits.is_empty() {
        Ok(())
    } else {
        Err(Rejection::Limit(limits))
    }
}

pub(super) fn cancel(
    state: &State,
    at: Timestamp,
    user: UserId,
    request: &CancelJob,
) -> Result<Vec<Event>, Rejection> {
    let (id, job) = find_job(state, user, request.org, request.number)?;
    let member = policy::member(state, request.org, user)?;
    if !policy::may_cancel_job(state, user, member.role, job) {
        return Err(Rejection::NotAllowed {
            action: Action::CancelAnyJob,
            role: member.role,
        });
    }
    let Some(progress) = state.progress.get(&id) else {
        return Ok(Vec::new());
    };
    if progress.ended_at.is_some() {
        return Err(Rejection::JobEnded {
            number: job.number,
            status: progress.status(),
        });
    }
    let mut draft = Draft::new(state, at);
    match request.task {
        None => draft.cancel_job(id),
        Some(task) => {
            find_task(job, task)?;
            let live = state.index.live.get(&id);
            let running = live
                .into_iter()
                .flatten()
                .find(|attempt| attempt.task == task);
            if let Some(attempt) = running {
                draft.stop(*attempt, EndReason::Cancelled);
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
