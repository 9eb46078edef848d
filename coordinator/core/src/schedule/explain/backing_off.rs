//! Tasks that are tried again later, and until when.

use common::{job::ArtifactsView, time::Timestamp};

use super::Subject;
use crate::state::State;

/// Returns when the first of a job's tasks is tried again, where nothing else of it waits.
pub(super) fn until(subject: &Subject<'_>) -> Option<Timestamp> {
    let (_, _, progress) = subject.job?;
    progress
        .delayed
        .first()
        .filter(|_| progress.in_queue() == 0)
}

/// Returns which tasks are tried again, the first of them with its moment and what it failed with.
pub(super) fn text(state: &State, subject: &Subject<'_>) -> Option<String> {
    let (id, job, progress) = subject.job?;
    let (task, until, after) = progress.delayed.iter().next()?;
    let until = until.to_second();
    let which = match job.spec.array {
        None => "it".to_owned(),
        Some(_) => format!("task {task}"),
    };
    let awaited = state.newest_attempt(id, task).is_some_and(|(_, row)| {
        job.spec.checkpoint.is_some() && row.artifacts == ArtifactsView::Pending
    });
    let first = match awaited {
        false => format!("{which} ended with {after}, and is tried again at {until}"),
        true => format!(
            "{which} ended with {after}, and goes on once what it left is here, or at {until}"
        ),
    };
    Some(match progress.delayed.len() - 1 {
        // All of a gang, and of a job of one task.
        _ if job.spec.array.is_none() => first,
        0 => first,
        1 => format!("{first}; 1 more task later"),
        more => format!("{first}; {more} more tasks later"),
    })
}
