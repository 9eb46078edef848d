//! Graphs of jobs: checked as a whole, and submitted in one commit or not at all.

use common::{
    api::job::SubmitGraph,
    id::{IdempotencyKey, JobId, UserId},
    job::{
        After, JobNumber, JobSpec, MAX_AFTER,
        graph::{Node, order},
    },
    time::Timestamp,
};

use super::submission::{Needed, Submission, accept, known};
use crate::{
    bounds::queued_reached,
    event::{Event, waiting::Awaited},
    policy::{Action, permit},
    rejection::{InvalidJob, Rejection},
    schedule::explain::Subject,
    state::State,
};

/// Takes all jobs of a graph in; nothing where they are there already. Each comes after what it waits for, so that
/// numbers grow along the graph.
pub(super) fn submit(
    state: &State,
    at: Timestamp,
    user: UserId,
    ids: &[JobId],
    request: &SubmitGraph,
) -> Result<Vec<Event>, Rejection> {
    let org = request.org;
    permit(state, org, user, Action::SubmitJob)?;
    let nodes = request.jobs.iter().map(|job| Node {
        name: &job.name,
        needs: &job.needs,
    });
    let order = order(&nodes.collect::<Vec<_>>())?;
    if ids.len() != request.jobs.len() {
        return Err(Rejection::WrongCaller);
    }
    if is_known(state, user, request)? {
        return Ok(Vec::new());
    }
    let next = state.orgs.get(&org).ok_or(Rejection::NoSuchOrg)?;
    let mut numbers = vec![JobNumber(0); order.len()];
    for (number, place) in (next.next_job_number..).zip(&order) {
        numbers[*place] = JobNumber(number);
    }
    check_queue(state, user, request)?;
    let mut events = Vec::new();
    for place in order {
        let job = &request.jobs[place];
        let in_graph = |rejection: Rejection| rejection.of_graph(job.name.clone());
        let count = job.spec.after.len().saturating_add(job.needs.len());
        if count > MAX_AFTER {
            let (what, most) = ("jobs to wait for", MAX_AFTER);
            let invalid = InvalidJob::TooMany { what, count, most };
            return Err(in_graph(invalid.into()));
        }
        let needed = job.needs.iter().map(|need| {
            let (place, condition) = (need.place as usize, need.condition);
            Needed {
                after: After {
                    job: numbers[place],
                    condition,
                },
                awaited: Awaited {
                    job: ids[place],
                    condition,
                },
            }
        });
        let submission = Submission {
            id: ids[place],
            org,
            key: key_at(request.key, place),
            spec: &job.spec,
            rerun: None,
        };
        let needed = needed.collect();
        let accepted = accept(state, at, user, &submission, numbers[place], needed);
        events.extend(accepted.map_err(in_graph)?);
    }
    Ok(events)
}

/// Returns the key of a job of a graph: that of the first is the graph's own.
pub(crate) fn key_at(key: IdempotencyKey, place: usize) -> IdempotencyKey {
    let mut bytes = *key.as_bytes();
    let place = u32::try_from(place).unwrap_or(u32::MAX).to_be_bytes();
    for (byte, other) in bytes[12..].iter_mut().zip(place) {
        *byte ^= other;
    }
    IdempotencyKey::from_bytes(bytes)
}

/// Returns whether the very same graph was submitted with the key.
fn is_known(state: &State, user: UserId, request: &SubmitGraph) -> Result<bool, Rejection> {
    let at = |place| known(state, user, key_at(request.key, place));
    // One more than there are: a graph that goes on is another.
    let jobs = (0..=request.jobs.len()).map(at);
    let jobs: Vec<_> = jobs.collect();
    let Some(first) = jobs.iter().flatten().next() else {
        return Ok(false);
    };
    let same = |(place, job): (usize, &common::api::job::GraphJob)| {
        let known = jobs[place]?;
        let mut after = job.spec.after.clone();
        for need in &job.needs {
            let (job, condition) = (jobs[need.place as usize]?.number, need.condition);
            after.push(After { job, condition });
        }
        let spec = JobSpec {
            after,
            ..job.spec.clone()
        };
        (known.org == request.org && known.is_same(&spec)).then_some(())
    };
    let all = request
        .jobs
        .iter()
        .enumerate()
        .all(|job| same(job).is_some());
    if all && jobs.last().is_some_and(Option::is_none) {
        Ok(true)
    } else {
        let number = first.number;
        Err(Rejection::KeyConflict { number })
    }
}

/// Refuses a graph with more tasks than may wait, where each job alone would do.
fn check_queue(state: &State, user: UserId, request: &SubmitGraph) -> Result<(), Rejection> {
    let tasks = request
        .jobs
        .iter()
        .map(|job| u64::from(job.spec.task_count()));
    let Some(first) = request.jobs.first() else {
        return Ok(());
    };
    let subject = Subject {
        org: request.org,
        owner: user,
        spec: &first.spec.clone().into(),
        job: None,
    };
    match queued_reached(state, &subject, tasks.sum()) {
        Some(reached) => Err(Rejection::Limit(vec![reached.limit])),
        None => Ok(()),
    }
}
