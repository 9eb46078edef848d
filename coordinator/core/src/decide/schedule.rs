//! A pass of the schedule.

use common::time::Timestamp;

use super::waiting;
use crate::{event::Event, schedule::plan::plan, state::State};

pub(super) fn schedule(state: &State, at: Timestamp, most: u32) -> Vec<Event> {
    let plan = plan(state, most);
    let placed = plan
        .placements
        .into_iter()
        .map(|placement| Event::AttemptPlaced {
            attempt: placement.attempt,
            org: placement.org,
            machine: placement.machine,
            allocation: placement.allocation,
            gpu_models: placement.gpu_models,
            max_runtime: placement.max_runtime,
            strong: placement.strong,
            at,
        });
    let settled = plan
        .settled
        .into_iter()
        .map(|org| Event::ScheduleSettled { org });
    // What this lets in is placed by the next pass.
    let let_in = waiting::settle(state, at, most);
    placed.chain(settled).chain(let_in).collect()
}
