//! A job on its way into the book: checked as a whole, and told as events. Who submits one, runs one again or submits
//! a graph comes through here.

use common::{
    id::{IdempotencyKey, JobId, OrgId, UserId},
    job::{After, JobNumber, JobSpec},
    time::Timestamp,
};

use super::{approval, job::acceptable};
use crate::{
    bounds::{Reached, reached},
    event::{Event, approval::ApprovalSubject, waiting::Awaited},
    rejection::{LimitReached, Rejection},
    schedule::explain::{Subject, explain, is_never},
    state::{
        State,
        approval::of_job,
        job::{Job, Rerun},
        specification::Specification,
    },
};

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Submission<'a> {
    pub(super) id: JobId,
    pub(super) org: OrgId,
    pub(super) key: IdempotencyKey,
    pub(super) spec: &'a JobSpec,
    pub(super) rerun: Option<Rerun>,
}

/// What a job of a graph waits for in it.
#[derive(Debug)]
pub(super) struct Needed {
    /// As the specification says it from then on.
    pub(super) after: After,
    pub(super) awaited: Awaited,
}

impl Submission<'_> {
    /// Returns whether the job is there already.
    ///
    /// # Errors
    /// Another one was submitted with the key.
    pub(super) fn is_known(&self, state: &State, user: UserId) -> Result<bool, Rejection> {
        let Some(known) = known(state, user, self.key) else {
            return Ok(false);
        };
        if known.org == self.org && known.is_same(self.spec) && known.rerun == self.rerun {
            Ok(true)
        } else {
            let number = known.number;
            Err(Rejection::KeyConflict { number })
        }
    }
}

/// Returns the job that the user submitted with this key.
pub(super) fn known(state: &State, user: UserId, key: IdempotencyKey) -> Option<&Job> {
    let id = state.index.keys.get(&(user, key))?;
    state.jobs.get(id)
}

/// Takes a job in as the next one of its org; nothing where it is there already.
pub(super) fn admit(
    state: &State,
    at: Timestamp,
    user: UserId,
    submission: &Submission<'_>,
) -> Result<Vec<Event>, Rejection> {
    if submission.is_known(state, user)? {
        return Ok(Vec::new());
    }
    let row = state.orgs.get(&submission.org);
    let number = JobNumber(row.ok_or(Rejection::NoSuchOrg)?.next_job_number);
    accept(state, at, user, submission, number, Vec::new())
}

/// Takes a job in that is not there, under that number, with what it needs of jobs that come with it.
pub(super) fn accept(
    state: &State,
    at: Timestamp,
    user: UserId,
    submission: &Submission<'_>,
    number: JobNumber,
    needed: Vec<Needed>,
) -> Result<Vec<Event>, Rejection> {
    let Submission { id, org, spec, .. } = *submission;
    let pinned = acceptable(state, user, org, spec)?;
    let row = state.orgs.get(&org).ok_or(Rejection::NoSuchOrg)?;
    let kept = Specification::from(spec.clone());
    let subject = Subject {
        org,
        owner: user,
        spec: &kept,
        job: None,
    };
    check_limits(state, &subject)?;
    if is_never(state, &subject) {
        let explanation = explain(state, at, &subject);
        return Err(Rejection::never_fits(state, &subject, explanation));
    }
    let mut awaits = pinned.awaits;
    let mut spec = spec.clone();
    for Needed { after, awaited } in needed {
        spec.after.push(after);
        awaits.push(awaited);
    }
    let asked = approval::job_note(row, &kept).map(|note| {
        let subject = ApprovalSubject::Job(id);
        approval::asked(of_job(id), org, subject, user, note, at)
    });
    let submitted = Event::JobSubmitted {
        job: id,
        org,
        number,
        owner: user,
        project: pinned.project,
        visibility: match pinned.project {
            Some(_) => None,
            None => Some(spec.visibility.unwrap_or(row.settings.default_visibility)),
        },
        key: submission.key,
        spec: Box::new(spec),
        pinned: pinned.datasets,
        pinned_image: pinned.image,
        pinned_artifacts: pinned.artifacts,
        awaits,
        rerun: submission.rerun,
        at,
    };
    Ok([submitted].into_iter().chain(asked).collect())
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
