//! Attempts: what machines report of them, and their logs.
//!
//! A report of an attempt that the machine does not hold, or not any more, changes nothing: it can be
//! acknowledged, and the machine learns from its desired set that nobody wants it.

use common::{
    id::{AttemptId, MachineId},
    job::{ArtifactsView, Outcome},
    machine::MAX_REPORT_TEXT_BYTES,
    time::{Span, Timestamp},
    units::Bytes,
    wire::agent::AttemptReport,
};

use super::{checkpoint, draft::Draft};
use crate::{
    event::{Event, LogState},
    lifecycle::attempt::{AttemptState, AttemptStep},
    rejection::Rejection,
    state::{State, attempt::Attempt},
};

pub(super) fn report(
    state: &State,
    at: Timestamp,
    machine: MachineId,
    id: AttemptId,
    report: &AttemptReport,
    artifact_size: Option<(Bytes, u64)>,
) -> Result<Vec<Event>, Rejection> {
    let attempt = state.attempts.get(&id);
    let Some(attempt) = attempt.filter(|attempt| attempt.machine == machine) else {
        return Ok(Vec::new());
    };
    match report {
        AttemptReport::Preparing => {
            let legal = attempt.state.transition(AttemptStep::Prepare).is_ok();
            let news = legal && attempt.has_place();
            let event = Event::AttemptPreparing { attempt: id };
            Ok(begun(id, attempt, news.then_some(event)))
        }
        AttemptReport::Started { at: started } => {
            let legal = attempt.state.transition(AttemptStep::Start).is_ok();
            let news = legal && attempt.has_place() && attempt.started_at.is_none();
            let event = news.then(|| Event::AttemptStarted {
                attempt: id,
                at: between(attempt.placed_at, *started, at),
            });
            Ok(begun(id, attempt, event))
        }
        AttemptReport::Ended {
            at: ended,
            outcome,
            artifacts,
        } => {
            let earliest = attempt.started_at.unwrap_or(attempt.placed_at);
            let ended = between(earliest, *ended, at);
            let mut draft = Draft::new(state, at);
            draft.end(id, ended, believable(attempt, at, outcome), *artifacts);
            Ok(draft.into_events())
        }
        AttemptReport::Artifacts { tree } => {
            // The machine has nothing any more once it says so: what is not here now never comes.
            let arrived = artifact_size.map(|(bytes, files)| ArtifactsView::Stored {
                tree: *tree,
                bytes,
                files,
            });
            settle_artifacts(
                state,
                at,
                (id, attempt),
                arrived.unwrap_or(ArtifactsView::Lost),
            )
        }
        AttemptReport::ArtifactsLost => {
            settle_artifacts(state, at, (id, attempt), ArtifactsView::Lost)
        }
        AttemptReport::Returned => {
            let mut draft = Draft::new(state, at);
            draft.take_back(id);
            Ok(draft.into_events())
        }
    }
}

/// Returns what follows from a beginning: whoever was wanted back stays.
fn begun(id: AttemptId, attempt: &Attempt, event: Option<Event>) -> Vec<Event> {
    let kept = event.is_some() && attempt.state == AttemptState::Returning;
    let kept = kept.then_some(Event::AttemptKept {
        attempt: id,
        machine: attempt.machine,
    });
    kept.into_iter().chain(event).collect()
}

/// Notes that all of an ended attempt's log is here.
pub(super) fn complete_log(state: &State, id: AttemptId) -> Vec<Event> {
    let attempt = state.attempts.get(&id);
    let complete = attempt.and_then(|attempt| match attempt.log {
        LogState::Awaited { bytes } => Some(Event::LogSettled {
            attempt: id,
            machine: attempt.machine,
            log: LogState::Complete { bytes },
        }),
        LogState::Growing | LogState::Complete { .. } | LogState::Lost => None,
    });
    complete.into_iter().collect()
}

fn settle_artifacts(
    state: &State,
    at: Timestamp,
    (id, attempt): (AttemptId, &Attempt),
    artifacts: ArtifactsView,
) -> Result<Vec<Event>, Rejection> {
    match (&attempt.state, attempt.artifacts) {
        (AttemptState::Ended(_), ArtifactsView::Pending) => {
            let settled = Event::ArtifactsSettled {
                attempt: id,
                machine: attempt.machine,
                artifacts,
                at,
            };
            let settled = [settled].into_iter();
            Ok(settled.chain(checkpoint::came(state, id)).collect())
        }
        (AttemptState::Ended(_), _) => Ok(Vec::new()),
        // The end is said first.
        _ => Err(Rejection::ReportOrder),
    }
}

/// Returns the outcome with nothing in it that cannot be: no more wall time than has passed, no endless or
/// unprintable text.
fn believable(attempt: &Attempt, now: Timestamp, outcome: &Outcome) -> Outcome {
    let mut outcome = outcome.clone();
    let most = Span::from(now.since(attempt.placed_at));
    outcome.usage.wall = outcome.usage.wall.min(most);
    outcome.detail = outcome.detail.map(|detail| {
        let plain = detail.chars().filter(|c| !c.is_control() || *c == '\n');
        plain.take(MAX_REPORT_TEXT_BYTES).collect()
    });
    outcome
}

/// Returns what a machine's clock says as far as it can be true.
fn between(earliest: Timestamp, said: Timestamp, latest: Timestamp) -> Timestamp {
    said.min(latest).max(earliest)
}
