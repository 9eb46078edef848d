//! Jobs that wait for others, and for whoever holds them: what they wait for, and what becomes of them once that is
//! decided.

use std::collections::{BTreeSet, VecDeque};

use common::{
    api::job::{HoldJob, MAX_DEPENDANTS},
    id::{JobId, OrgId, UserId},
    job::After,
    status::{AfterStatus, Role},
    time::Timestamp,
};

use super::{
    draft::Draft,
    find_job,
    job::{Cancellable, cancellable},
};
use crate::{
    event::{
        Event,
        waiting::{Awaited, Broken, WaitingEvent},
    },
    lifecycle::job::JobState,
    policy,
    rejection::{
        Rejection,
        waiting::{HoldStep, WaitingRejection},
    },
    state::{
        State,
        job::{Job, JobProgress},
        waiting::Moment,
    },
};

/// Returns what of that is still to come, each once.
///
/// # Errors
/// The user may not see one of the jobs, or it has ended otherwise.
pub(super) fn pin(
    state: &State,
    user: UserId,
    org: OrgId,
    after: &[After],
) -> Result<Vec<Awaited>, Rejection> {
    let mut awaits = BTreeSet::new();
    for wanted in after {
        let (id, _) = find_job(state, user, org, wanted.job)?;
        let progress = super::job::progress(state, id, wanted.job)?;
        let condition = wanted.condition;
        match progress.stands(condition) {
            AfterStatus::Met => {}
            AfterStatus::Waits => {
                awaits.insert(Awaited { job: id, condition });
            }
            AfterStatus::Never => {
                let status = progress.status();
                let after = *wanted;
                return Err(WaitingRejection::Never { after, status }.into());
            }
        }
    }
    Ok(awaits.into_iter().collect())
}

/// Lets jobs in that wait for nothing more, and cancels those whose condition can never be met any more, with those
/// that waited for them in turn; at most `most`.
pub(super) fn settle(state: &State, at: Timestamp, most: u32) -> Vec<Event> {
    let mut left = usize::try_from(most).unwrap_or(usize::MAX);
    let mut draft = Draft::new(state, at);
    let mut cancelled = BTreeSet::new();
    let mut ended: VecDeque<JobId> = VecDeque::new();
    let mut decided = state.index.settling.iter().copied();
    // What is left of those who waited for a job that is cancelled here is found by the next pass.
    while left > 0
        && let Some(id) = ended.pop_front().or_else(|| decided.next())
    {
        let Some(awaited) = draft.progress(id).cloned() else {
            continue;
        };
        let dependants = state.index.dependants_of(id);
        let dependants = dependants.take_while(|(moment, _)| awaited.has_come_to(*moment));
        for (moment, dependant) in dependants.take(left) {
            left -= 1;
            if !cancelled.contains(&dependant)
                && decide_for(&mut draft, (id, &awaited), moment, dependant, at)
            {
                cancelled.insert(dependant);
                ended.push_back(dependant);
            }
        }
    }
    draft.into_events()
}

/// Decides what a job waits for of one that has come so far, and returns whether it is cancelled.
fn decide_for(
    draft: &mut Draft<'_>,
    (id, awaited): (JobId, &JobProgress),
    moment: Moment,
    dependant: JobId,
    at: Timestamp,
) -> bool {
    let progress = draft.progress(dependant);
    let awaits = progress.map(|progress| progress.awaits.to_vec());
    let of_this = |one: &Awaited| one.job == id && one.moment() == moment;
    for one in awaits.into_iter().flatten().filter(of_this) {
        match (awaited.stands(one.condition), awaited.state) {
            (AfterStatus::Met, _) => draft.push(Event::Waiting(WaitingEvent::DependencyMet {
                job: dependant,
                awaited: one,
                at,
            })),
            (AfterStatus::Never, JobState::Ended(ended)) => {
                let broken = Broken {
                    awaited: one,
                    ended,
                };
                let job = dependant;
                draft.push(Event::Waiting(WaitingEvent::DependencyBroken {
                    job,
                    broken,
                }));
                draft.cancel_job(dependant);
                return true;
            }
            (AfterStatus::Never | AfterStatus::Waits, _) => {}
        }
    }
    false
}

/// Returns all that waits for a job, and for that in turn, as far as the user may cancel it. The job itself is not
/// among them; nearest first.
///
/// # Errors
/// There are more than one command takes.
pub(crate) fn dependants(
    state: &State,
    user: UserId,
    role: Role,
    (id, job): (JobId, &Job),
) -> Result<Vec<JobId>, Rejection> {
    let mut seen = BTreeSet::from([id]);
    let mut found = Vec::new();
    let mut ahead = VecDeque::from([id]);
    while let Some(next) = ahead.pop_front() {
        for (_, dependant) in state.index.dependants_of(next) {
            let row = state.jobs.get(&dependant);
            let may = row.is_some_and(|row| policy::may_cancel_job(state, user, role, row));
            if !may || !seen.insert(dependant) {
                continue;
            }
            if found.len() == MAX_DEPENDANTS {
                let number = job.number;
                return Err(WaitingRejection::TooManyDependants { number }.into());
            }
            found.push(dependant);
            ahead.push_back(dependant);
        }
    }
    Ok(found)
}

/// Holds or releases a job, and what waits for it where that is asked for. What is so already stays as it is.
pub(super) fn hold(
    state: &State,
    at: Timestamp,
    user: UserId,
    request: &HoldJob,
    step: HoldStep,
) -> Result<Vec<Event>, Rejection> {
    let Cancellable { id, job, role } = cancellable(state, user, request.org, request.number)?;
    let progress = super::job::progress(state, id, job.number)?;
    if progress.ended_at.is_some() {
        let (number, status) = (job.number, progress.status());
        return Err(WaitingRejection::Ended {
            number,
            status,
            step,
        }
        .into());
    }
    let dependants = match request.dependants {
        true => dependants(state, user, role, (id, job))?,
        false => Vec::new(),
    };
    let jobs = [id].into_iter().chain(dependants);
    let changed = jobs.filter(|id| {
        let progress = state.progress.get(id).filter(|p| p.ended_at.is_none());
        progress.is_some_and(|progress| progress.held.is_none() == (step == HoldStep::Hold))
    });
    let by = user;
    let event = |job| match step {
        HoldStep::Hold => WaitingEvent::JobHeld { job, by, at },
        HoldStep::Release => WaitingEvent::JobReleased { job, by, at },
    };
    Ok(changed.map(|job| Event::Waiting(event(job))).collect())
}
