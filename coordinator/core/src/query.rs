//! Answers: what the doors show, read from the state. Nothing here changes anything.

pub mod access;
pub mod enrolment;
pub mod follow;

use std::collections::BTreeMap;

use common::{
    api::{Answer, Request, explain::Explanation, job::SubmitJob},
    id::{MachineId, UserId},
    machine::MachineLoad,
    problem::Problem,
    time::Timestamp,
};

use crate::state::State;

/// What the shell knows and the state does not.
#[derive(Debug, Clone, Copy)]
pub struct Presence<'a> {
    pub contacts: &'a BTreeMap<MachineId, Contact>,
    /// Of the session that asks.
    pub certificate_expires_at: Timestamp,
    /// Of the coordinator.
    pub version: &'a str,
}

/// The last that was heard of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contact {
    pub at: Timestamp,
    pub load: Option<MachineLoad>,
}

/// Answers every request that only reads: `WhoAmI`, `Show…`, `List…`, `ExplainJob`, and `SubmitJob` with
/// `dry_run`. Lists have at most [`common::api::MAX_ROWS`] rows.
///
/// # Errors
/// What is not there or may not be seen; `BadRequest` for a request that is not a question.
pub fn answer(
    state: &State,
    presence: &Presence<'_>,
    now: Timestamp,
    user: UserId,
    request: &Request,
) -> Result<Answer, Problem> {
    let _ = (state, presence, now, user, request);
    Ok(Answer::Done)
}

/// Returns what would happen to a job that is not submitted.
///
/// # Errors
/// It would be refused for something other than limits and machines.
pub fn explain_submission(
    state: &State,
    now: Timestamp,
    user: UserId,
    request: &SubmitJob,
) -> Result<Explanation, Problem> {
    let _ = (state, now, user, request);
    Err(Problem::new(common::code::Code::Internal, "", ""))
}
