//! The only thing that changes the state. Never fails: whatever could go wrong was checked in
//! [`crate::decide`].

use crate::{event::Event, state::State};

/// Takes an event in.
pub fn apply(state: &mut State, event: &Event) {
    let _ = (state, event);
}
