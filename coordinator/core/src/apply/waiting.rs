//! Jobs that wait for others, or that somebody holds.

use super::job::change;
use crate::{
    event::waiting::WaitingEvent,
    state::{State, waiting::Hold},
};

pub(super) fn apply(state: &mut State, event: &WaitingEvent) {
    let job = event.job();
    let row = state.jobs.get(&job).map(|row| (row.org, row.ranges()));
    let Some((org, tasks)) = row else {
        return;
    };
    change(state, job, |progress| match event {
        WaitingEvent::DependencyMet { awaited, at, .. } => {
            progress.awaits.retain(|other| other != awaited);
            progress.waits_since = *at;
        }
        WaitingEvent::DependencyBroken { broken, .. } => progress.broken = Some(*broken),
        WaitingEvent::JobHeld { by, at, .. } => {
            progress.held = Some(Hold { by: *by, at: *at }).into();
        }
        WaitingEvent::JobReleased { at, .. } => {
            progress.held = None.into();
            progress.waits_since = *at;
        }
        WaitingEvent::RetriesPutOff { tasks, until, .. } => progress.put_off(tasks, *until),
        WaitingEvent::GangRestarted { later, .. } => progress.restart(&tasks, *later),
    });
    // It may be in the queue now.
    state.volatile.due.insert(org);
}
