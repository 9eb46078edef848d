//! Whether a gang is tried again. Its tasks are tried together: all of them have had as many tries.
//!
//! What was done to one of them makes others fail by themselves, as soon as they miss it. So a single end that the job
//! tries again is enough, whatever became of the others.

use std::collections::BTreeMap;

use common::{id::AttemptId, job::ArtifactsView, status::EndReason, time::Timestamp};

use super::checkpoint;
use crate::{
    lifecycle::attempt::AttemptState,
    state::{State, job::Job},
};

/// Most rounds in which owners may take machines back without it counting as a try.
const MAX_GIVEN_BACK: u32 = 100;

/// When it is tried again, and after what; at once where it has not to wait.
pub(super) type Later = Option<(Timestamp, EndReason)>;

/// Returns that and how the gang is tried again, all of which has ended, the last one with these files; `ended` is what the
/// state does not know yet.
pub(super) fn again(
    state: &State,
    (at, artifacts): (Timestamp, ArtifactsView),
    last: AttemptId,
    job: &Job,
    ended: &BTreeMap<AttemptId, Option<EndReason>>,
) -> Option<Later> {
    let retries = &job.spec.retries;
    let ends = |number: u32| {
        let attempts = job.tasks().map(move |task| AttemptId {
            task,
            number,
            ..last
        });
        attempts.filter_map(|id| ended.get(&id).copied().unwrap_or_else(|| ill(state, id)))
    };
    let rounds = (1..last.number).filter(|number| {
        let mut ends = ends(*number);
        ends.any(|reason| reason == EndReason::MachineOwner)
    });
    let given_back = u32::try_from(rounds.count()).unwrap_or(u32::MAX);
    let tries = last.number.saturating_sub(given_back);
    let may = |reason: &EndReason| {
        retries.covers(*reason)
            && match reason {
                EndReason::PeerEnded => false,
                EndReason::MachineOwner => retries.max > 0 && given_back < MAX_GIVEN_BACK,
                _ => tries <= retries.max,
            }
    };
    let after = ends(last.number).filter(may);
    // What has not to wait comes first.
    let after = after.min_by_key(|reason| reason.delays_retry())?;
    if after.delays_retry() {
        let wait = retries.wait(tries).as_duration();
        return Some(Some((at.saturating_add(wait), after)));
    }
    let others = job.tasks().filter(|task| *task != last.task);
    let others = others.filter_map(|task| state.newest_attempt(last.job, task));
    let mut files = others.map(|(_, row)| row.artifacts).chain([artifacts]);
    let until = files.find_map(|files| checkpoint::until(job, files, at));
    Some(until.map(|until| (until, after)))
}

/// Returns how an attempt ended that did not end well.
fn ill(state: &State, id: AttemptId) -> Option<EndReason> {
    match &state.attempts.get(&id)?.state {
        AttemptState::Ended(outcome) if !outcome.succeeded() => Some(outcome.reason),
        _ => None,
    }
}
