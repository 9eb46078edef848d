//! Jobs as people see them.

use std::collections::BTreeSet;

use common::{
    api::{
        explain::Explanation,
        job::{Dependants, ExplainJob, ListJobs, MAX_DEPENDANTS_NAMED, ShowJob},
        page::Page,
    },
    id::{AttemptId, JobId, OrgId, UserId},
    job::{
        AfterView, AttemptView, DelayedTask, HoldView, JobDetail, JobNumber, JobSummary,
        MAX_DELAYED_SHOWN, MAX_RERUNS_SHOWN, Unmet,
    },
    name::Name,
    preemption::{PreemptedBy, PreemptingJob},
    time::Timestamp,
    usage::MAX_SAMPLES,
};

use super::{Presence, approval, handle, most, page::page};
use crate::{
    decide::{find_job, find_task, project::name_of, waiting},
    lifecycle::attempt::AttemptState,
    policy,
    rejection::Rejection,
    schedule::explain::{Subject, explain},
    state::{
        State,
        attempt::Attempt,
        job::{Job, JobProgress},
    },
};

/// Most machines named in one row of a list.
const MAX_MACHINES_NAMED: usize = 4;
/// Most samples in one answer: all of them for some dozens of running attempts, fewer of each for more.
const MAX_SAMPLES_SHOWN: usize = 4096;
/// Most jobs looked at which run tasks of one again.
const MAX_RERUNS_LOOKED_AT: usize = 1000;
/// Most attempts looked through for the exit code that stands for a job.
const MAX_EXIT_CODES: usize = 100_000;

/// Newest first; a member's own, an admin's all.
pub(super) fn list(
    state: &State,
    user: UserId,
    list: &ListJobs,
) -> Result<Page<JobSummary, JobNumber>, Rejection> {
    let member = policy::member(state, list.org, user)?;
    let owner = match &list.owner {
        None => None,
        Some(handle) => match state.index.handles.get(handle) {
            None => return Ok(Page::default()),
            Some(owner) => Some(*owner),
        },
    };
    let project = match &list.project {
        None => None,
        Some(name) => Some(policy::project::find(state, user, list.org, name)?.id),
    };
    let end = list.before.unwrap_or(JobNumber(u64::MAX));
    let numbers = state
        .index
        .job_numbers
        .range((list.org, JobNumber(0))..(list.org, end));
    let wanted = |id: JobId| {
        let (job, progress) = (state.jobs.get(&id)?, state.progress.get(&id)?);
        let wanted = owner.is_none_or(|owner| job.owner == owner)
            && (project.is_none() || job.project == project)
            && (list.status.is_empty() || list.status.contains(&progress.status()))
            && policy::may_see_job(state, user, member.role, job);
        wanted.then_some((job, progress))
    };
    let key = |((_, number), _): (&(OrgId, JobNumber), _)| *number;
    page(list.limit, numbers.rev(), key, |(_, id)| {
        let row = wanted(*id);
        row.map(|(job, progress)| summary(state, *id, job, progress))
            .transpose()
    })
}

pub(super) fn show(
    state: &State,
    presence: &Presence<'_>,
    user: UserId,
    show: &ShowJob,
) -> Result<JobDetail, Rejection> {
    let (id, job) = find_job(state, user, show.org, show.number)?;
    if let Some(task) = show.task {
        find_task(job, task)?;
    }
    let progress = progress(state, id, job)?;
    let attempts =
        attempts_of(state, id, show.task).filter(|(_, attempt)| !show.live || attempt.is_live());
    // What waits behind another one is queued, wherever it would begin.
    let mut attempts = attempts.filter(|(_, attempt)| attempt.waits_behind().is_none());
    let rows: Vec<(AttemptId, &Attempt)> = attempts.by_ref().take(most(show.attempts)).collect();
    let live = rows.iter().filter(|(_, attempt)| attempt.is_live()).count();
    let samples = (MAX_SAMPLES_SHOWN / live.max(1)).clamp(1, MAX_SAMPLES);
    let listed = rows.into_iter().filter_map(|(id, attempt)| {
        let mut view = attempt_view(state, user, id, attempt)?;
        if attempt.is_live() {
            view.samples = presence.samples.newest(id, samples);
        }
        Some(view)
    });
    let listed: Vec<AttemptView> = listed.collect();
    let delayed = progress.delayed.iter();
    let delayed = delayed.filter(|(task, ..)| show.task.is_none_or(|only| only == *task));
    let mut delayed = delayed.map(|(task, until, after)| DelayedTask { task, until, after });
    Ok(JobDetail {
        summary: summary(state, id, job, progress)?,
        spec: job.pinned_spec(),
        attempts: listed,
        attempts_left_out: attempts.count() as u64,
        approval: approval::of_job(state, id)?.map(Box::new),
        rerun_of: rerun_of(state, user, job),
        reruns: reruns(state, user, id, job),
        after: after(state, user, job),
        unmet: unmet(state, progress),
        delayed: delayed.by_ref().take(MAX_DELAYED_SHOWN).collect(),
        delayed_left_out: delayed.count() as u64,
    })
}

pub(super) fn explain_job(
    state: &State,
    now: Timestamp,
    user: UserId,
    ask: &ExplainJob,
) -> Result<Explanation, Rejection> {
    let (id, job) = find_job(state, user, ask.org, ask.number)?;
    let progress = progress(state, id, job)?;
    Ok(explain(state, now, &Subject::of(id, job, progress)))
}

pub(super) fn progress<'a>(
    state: &'a State,
    id: JobId,
    job: &Job,
) -> Result<&'a JobProgress, Rejection> {
    let progress = state.progress.get(&id);
    progress.ok_or(Rejection::NoSuchJob { number: job.number })
}

/// Returns the attempts of a job, or of one task of it, by task and number.
pub(super) fn attempts_of(
    state: &State,
    job: JobId,
    task: Option<u32>,
) -> impl DoubleEndedIterator<Item = (AttemptId, &Attempt)> {
    let first = AttemptId {
        job,
        task: task.unwrap_or(0),
        number: 0,
    };
    let last = AttemptId {
        job,
        task: task.unwrap_or(u32::MAX),
        number: u32::MAX,
    };
    state
        .attempts
        .range(first..=last)
        .map(|(id, attempt)| (*id, attempt))
}

pub(super) fn summary(
    state: &State,
    id: JobId,
    job: &Job,
    progress: &JobProgress,
) -> Result<JobSummary, Rejection> {
    let live = state.index.live.get(&id);
    let mut machines: BTreeSet<&Name> = BTreeSet::new();
    for attempt in live.into_iter().flatten() {
        let machine = state
            .attempts
            .get(attempt)
            .and_then(|a| state.machines.get(&a.machine));
        machines.extend(machine.map(|machine| &machine.name));
        if machines.len() == MAX_MACHINES_NAMED {
            break;
        }
    }
    Ok(JobSummary {
        id,
        number: job.number,
        name: job.spec.name().to_owned(),
        owner: handle(state, job.owner)?,
        project: name_of(state, job.project),
        status: progress.status(),
        priority: job.spec.priority,
        tasks: progress.counts,
        submitted_at: job.submitted_at,
        started_at: progress.started_at,
        ended_at: progress.ended_at,
        machines: machines.into_iter().cloned().collect(),
        exit_code: progress
            .ended_at
            .map(|_| exit_code(state, id, job, progress)),
        held: match *progress.held {
            None => None,
            Some(hold) => Some(HoldView {
                by: handle(state, hold.by)?,
                since: hold.at,
            }),
        },
        awaits: super::count(progress.awaits.len()),
    })
}

/// Returns the job of which this one runs tasks again, where the user may see it.
fn rerun_of(state: &State, user: UserId, job: &Job) -> Option<JobNumber> {
    let role = policy::member(state, job.org, user).ok()?.role;
    let other = state.jobs.get(&job.rerun.as_ref()?.of)?;
    policy::may_see_job(state, user, role, other).then_some(other.number)
}

/// Returns which jobs run tasks of this one again, newest first, of those that the user may see.
fn reruns(state: &State, user: UserId, id: JobId, job: &Job) -> Vec<JobNumber> {
    let Ok(member) = policy::member(state, job.org, user) else {
        return Vec::new();
    };
    let all = state.index.reruns.get(&id).into_iter().flatten().rev();
    let newest = all.take(MAX_RERUNS_LOOKED_AT).filter(|(_, id)| {
        let row = state.jobs.get(id);
        row.is_some_and(|row| policy::may_see_job(state, user, member.role, row))
    });
    let newest = newest.map(|(number, _)| *number);
    newest.take(MAX_RERUNS_SHOWN).collect()
}

/// Returns how it stands with what the job waits or waited for.
fn after(state: &State, user: UserId, job: &Job) -> Vec<AfterView> {
    let role = policy::member(state, job.org, user).map(|member| member.role);
    let rows = job.spec.after.iter().filter_map(|one| {
        let id = state.index.job_numbers.get(&(job.org, one.job))?;
        let (other, progress) = (state.jobs.get(id)?, state.progress.get(id)?);
        let seen = role
            .as_ref()
            .is_ok_and(|role| policy::may_see_job(state, user, *role, other));
        Some(AfterView {
            job: one.job,
            condition: one.condition,
            status: progress.stands(one.condition),
            job_status: seen.then(|| progress.status()),
        })
    });
    rows.collect()
}

fn unmet(state: &State, progress: &JobProgress) -> Option<Unmet> {
    let broken = progress.broken?;
    Some(Unmet {
        job: state.jobs.get(&broken.awaited.job)?.number,
        condition: broken.awaited.condition,
        ended: broken.ended.into(),
    })
}

/// Returns what `job cancel --dependants` would cancel besides the job.
pub(super) fn dependants(
    state: &State,
    user: UserId,
    org: OrgId,
    number: JobNumber,
) -> Result<Dependants, Rejection> {
    let found = find_job(state, user, org, number)?;
    let role = policy::member(state, org, user)?.role;
    let found = waiting::dependants(state, user, role, found)?;
    let numbers = found.iter().filter_map(|id| state.jobs.get(id));
    let mut first: Vec<JobNumber> = numbers.map(|job| job.number).collect();
    first.sort();
    first.truncate(MAX_DEPENDANTS_NAMED);
    Ok(Dependants {
        count: super::count(found.len()),
        first,
    })
}

/// Returns 0 if every task succeeded, else what the first task that did not ended with; 125 where none got
/// so far.
fn exit_code(state: &State, id: JobId, job: &Job, progress: &JobProgress) -> i32 {
    const OUR_FAILURE: i32 = 125;
    if progress.counts.succeeded == job.task_count() {
        return 0;
    }
    let attempts = attempts_of(state, id, None).take(MAX_EXIT_CODES);
    let mut last: Option<(u32, i32)> = None;
    for (attempt, row) in attempts {
        let AttemptState::Ended(outcome) = &row.state else {
            continue;
        };
        match last {
            Some((task, code)) if task != attempt.task && code != 0 => return code,
            _ => last = Some((attempt.task, outcome.exit_code())),
        }
    }
    last.map_or(
        OUR_FAILURE,
        |(_, code)| if code == 0 { OUR_FAILURE } else { code },
    )
}

/// Returns when the org forgets what an attempt left. Nothing goes before that while a job reads it.
fn kept_until(state: &State, row: &Attempt) -> Option<Timestamp> {
    let (_, _, came) = row.stored()?;
    let org = state.orgs.get(&row.org)?;
    org.settings.artifacts_kept.until(came)
}

/// Returns what took an attempt's place, as much of it as the user may see.
fn preempted_by(state: &State, user: UserId, row: &Attempt) -> Option<PreemptedBy> {
    let by = row.preempted?;
    let role = policy::member(state, row.org, user).ok()?.role;
    let job = state.jobs.get(&by.job);
    let job = job.filter(|job| policy::may_see_job(state, user, role, job));
    Some(PreemptedBy {
        precedence: by.precedence,
        job: job.map(|job| PreemptingJob {
            number: job.number,
            priority: job.spec.priority,
        }),
    })
}

fn attempt_view(state: &State, user: UserId, id: AttemptId, row: &Attempt) -> Option<AttemptView> {
    Some(AttemptView {
        task: id.task,
        number: id.number,
        machine: state.machines.get(&row.machine)?.name.clone(),
        status: row.state.status(),
        allocation: row.allocation.clone(),
        placed_at: row.placed_at,
        started_at: row.started_at,
        ended_at: row.ended_at,
        outcome: match &row.state {
            AttemptState::Ended(outcome) => Some(outcome.clone()),
            _ => None,
        },
        artifacts: row.artifacts,
        artifacts_kept_until: kept_until(state, row),
        samples: Vec::new(),
        preempted_by: preempted_by(state, user, row),
    })
}
