//! Who may fetch or send which bytes.

use common::{
    id::{AttemptId, JobId, MachineId, OrgId, TreeId, UserId},
    problem::Problem,
    wire::client::DownloadSource,
};

use crate::{event::LogState, state::State};

/// What a member who wants a tree gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readable {
    Tree(TreeId),
    /// Not there yet: ask again when [`crate::Topic::Job`] wakes.
    Waiting(JobId),
}

/// Returns the tree that a member may fetch.
///
/// # Errors
/// What is not there or may not be seen; a task that left nothing.
pub fn readable_tree(
    state: &State,
    user: UserId,
    org: OrgId,
    source: &DownloadSource,
) -> Result<Readable, Problem> {
    let _ = (state, user, org, source);
    Err(Problem::new(common::code::Code::NotFound, "", ""))
}

/// Returns whether a member may send trees to the org.
///
/// # Errors
/// No member of the org.
pub fn may_upload(state: &State, user: UserId, org: OrgId) -> Result<(), Problem> {
    let _ = (state, user, org);
    Ok(())
}

/// Returns whether the tree is in the machine's desired set.
pub fn machine_may_fetch(state: &State, machine: MachineId, tree: TreeId) -> bool {
    let _ = (state, machine, tree);
    false
}

/// Returns whether artifacts of the attempt are awaited from this machine.
pub fn machine_may_upload(state: &State, machine: MachineId, attempt: AttemptId) -> bool {
    let _ = (state, machine, attempt);
    false
}

/// Returns how the log of the attempt stands, if this machine may send it: `Growing` or `Awaited`, and
/// `Complete` where all of it is here.
pub fn machine_log(state: &State, machine: MachineId, attempt: AttemptId) -> Option<LogState> {
    let _ = (state, machine, attempt);
    None
}
