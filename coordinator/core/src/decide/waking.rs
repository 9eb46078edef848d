//! What was to happen at a moment that has come: tasks that are tried again, machines that may be tried, and tasks that
//! may take the place of others.

use common::time::Timestamp;

use super::checkpoint;
use crate::{
    event::{Event, pass::PassEvent},
    state::{State, index::Waking},
};

/// Wakes what is due, at most `most`; the rest is due still.
pub(super) fn wake(state: &State, at: Timestamp, most: u32) -> Vec<Event> {
    let mut left = usize::try_from(most).unwrap_or(usize::MAX);
    let mut events = Vec::new();
    for (moment, waking) in &state.index.wakings {
        if *moment > at || left == 0 {
            break;
        }
        match waking {
            Waking::Machine(id) => {
                let row = state.machines.get(id);
                left -= usize::from(row.is_some());
                events.extend(row.map(|row| Event::MachineTried {
                    machine: *id,
                    org: row.org,
                    at,
                }));
            }
            Waking::Job(id) => {
                let (Some(job), Some(progress)) = (state.jobs.get(id), state.progress.get(id))
                else {
                    continue;
                };
                // A gang is never in the queue by halves.
                let most = job.spec.gang().map_or(left, |_| usize::MAX);
                let tasks: Vec<u32> = progress.delayed.due(at).take(most).collect();
                left = left.saturating_sub(tasks.len());
                events.extend(checkpoint::due(state, at, (*id, job), tasks));
            }
        }
    }
    // Once each: what follows is of the next pass.
    let looks = state.volatile.looks.due(at).take(left);
    events.extend(looks.map(|org| Event::Pass(PassEvent::PreemptionDue { org })));
    events
}
