//! From a command to what happens because of it, or to a rejection. One file per noun; all checks are here.

use crate::{command::Command, event::Event, rejection::Rejection, state::State};

/// Returns what happens because of the command; nothing where it asks for what is already so.
///
/// # Errors
/// The command may not be, and nothing happens.
pub fn decide(state: &State, command: &Command) -> Result<Vec<Event>, Rejection> {
    let _ = (state, command);
    Ok(Vec::new())
}
