//! Who and what keeps a job out of the queue besides an approval: whoever holds it, and jobs that it waits for.

use common::{
    api::explain::BlockerCode,
    job::JobNumber,
    status::{AfterStatus, Condition},
};

use super::Subject;
use crate::state::{State, job::JobProgress};

/// Most jobs that are named one by one.
const MAX_NAMED: usize = 8;

/// One thing to wait for.
#[derive(Debug)]
pub(super) struct Wait {
    pub(super) code: BlockerCode,
    pub(super) text: String,
    /// What would end it.
    pub(super) change: String,
}

/// Returns all that keeps the subject out of the queue, or would if it were submitted.
pub(super) fn waits(state: &State, subject: &Subject<'_>) -> Vec<Wait> {
    let awaited: Vec<(JobNumber, Condition, &JobProgress)> = match subject.job {
        Some((_, _, progress)) => {
            let awaits = progress.awaits.iter();
            let rows = awaits.filter_map(|one| {
                let number = state.jobs.get(&one.job)?.number;
                Some((number, one.condition, state.progress.get(&one.job)?))
            });
            rows.collect()
        }
        None => {
            let after = subject.spec.after.iter();
            let rows = after.filter_map(|one| {
                let id = state.index.job_numbers.get(&(subject.org, one.job))?;
                let progress = state.progress.get(id)?;
                let waits = progress.stands(one.condition) == AfterStatus::Waits;
                waits.then_some((one.job, one.condition, progress))
            });
            rows.collect()
        }
    };
    let more = awaited.len().saturating_sub(MAX_NAMED);
    let named = awaited.into_iter().take(MAX_NAMED);
    let named = named.map(|(number, condition, progress)| Wait {
        code: BlockerCode::AwaitsJob,
        text: format!(
            "waits for job {number} to {}; it {}",
            condition.verb(),
            progress.status().past()
        ),
        change: format!("job {number} {}s", condition.verb()),
    });
    let rest = (more > 0).then(|| Wait {
        code: BlockerCode::AwaitsJob,
        text: format!("waits for {more} more jobs"),
        change: format!("{more} more jobs come so far"),
    });
    held(state, subject)
        .into_iter()
        .chain(named)
        .chain(rest)
        .collect()
}

fn held(state: &State, subject: &Subject<'_>) -> Option<Wait> {
    let code = BlockerCode::Held;
    let Some((_, job, progress)) = subject.job else {
        return subject.spec.hold.then(|| Wait {
            code,
            text: "it would be held: `hold` asks for that".to_owned(),
            change: "it is released".to_owned(),
        });
    };
    let hold = (*progress.held)?;
    let by = state.users.get(&hold.by);
    let by = by.map_or_else(|| hold.by.to_string(), |user| user.handle.to_string());
    Some(Wait {
        code,
        text: format!("held by {by} since {}", hold.at.to_second()),
        change: format!(
            "whoever may cancel it lets it go on: `compute-share job release {}`",
            job.number
        ),
    })
}
