//! The whole desired set of one machine, derived from the state.

use common::{id::MachineId, wire::agent::Assignment};

use crate::state::State;

/// Returns everything that should be on the machine, with its generation. Empty for a machine that is unknown.
pub fn assign(state: &State, machine: MachineId) -> Assignment {
    let _ = (state, machine);
    Assignment::default()
}
