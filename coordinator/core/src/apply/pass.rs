//! What a pass of the schedule found out.

use crate::{
    event::pass::PassEvent,
    state::{State, reserved::Reservation},
};

pub(super) fn apply(state: &mut State, event: &PassEvent) {
    match event {
        PassEvent::MachineReserved {
            machine,
            org,
            job,
            begin,
            why,
        } => {
            if let Some(row) = state.jobs.get(job) {
                let reservation = Reservation {
                    org: *org,
                    job: *job,
                    request: row.spec.request.clone(),
                    begin: *begin,
                    why: *why,
                };
                state.volatile.reserved.put(*machine, reservation);
            }
        }
        PassEvent::ReservationEnded { machine, org } => {
            state.volatile.reserved.take(*machine);
            state.volatile.due.insert(*org);
        }
        PassEvent::PreemptionLooked { org, at, again } => {
            state.volatile.looks.put(*org, *at, *again);
        }
        PassEvent::PreemptionDue { org } => {
            state.volatile.looks.begin(*org);
            state.volatile.due.insert(*org);
        }
        PassEvent::ScheduleSettled { org } => {
            state.volatile.due.remove(org);
            state.volatile.first.remove(org);
        }
    }
}
