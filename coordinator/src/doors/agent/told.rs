//! What an agent was told on its connection, and so need not be told again.

use std::collections::BTreeSet;

use common::{
    id::{AttemptId, MachineId},
    wire::agent::{CoordinatorMessage, UPDATES},
};
use coordinator_core::{State, assign, assign_update};

/// The attempts of the last set, once there was one.
#[derive(Debug)]
pub(super) struct Told {
    /// Whether the agent understands what leaves out the rest.
    takes_updates: bool,
    attempts: Option<BTreeSet<AttemptId>>,
}

impl Told {
    /// Nothing yet, to an agent that speaks this version of the protocol.
    pub(super) const fn new(version: u16) -> Self {
        Self {
            takes_updates: version >= UPDATES,
            attempts: None,
        }
    }

    /// Returns what to say of the machine's set now. It counts as said.
    pub(super) fn next(&mut self, state: &State, machine: MachineId) -> CoordinatorMessage {
        let Some(before) = self.attempts.as_ref().filter(|_| self.takes_updates) else {
            let set = assign(state, machine);
            let attempts = set.attempts.iter().map(|assigned| assigned.attempt);
            self.attempts = Some(attempts.collect());
            return CoordinatorMessage::Assignment(set);
        };
        let update = assign_update(state, machine, before);
        let new = update.new.iter().map(|assigned| assigned.attempt);
        let known = update.known.iter().map(|known| known.attempt);
        self.attempts = Some(new.chain(known).collect());
        CoordinatorMessage::Update(update)
    }
}
