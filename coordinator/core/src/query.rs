//! Answers: what the doors show, read from the state. Nothing here changes anything, and what a caller may
//! not see is not found.

pub mod access;
pub mod account;
mod approval;
pub mod audit;
pub mod dataset;
pub mod enrolment;
pub mod follow;
mod job;
pub(crate) mod limits;
mod machine;
mod member;
mod org;
mod page;
mod project;
pub mod secret;
mod shares;
pub mod storage;
pub mod usage;

use std::{collections::BTreeMap, fmt, ops::Bound};

use common::{
    api::{
        Answer, Request,
        explain::Explanation,
        invitation::{InvitationAnswer, InvitationRequest},
        job::{JobAnswer, JobRequest, SubmitJob},
        machine::MachineRequest,
    },
    code::Code,
    id::{AttemptId, CertificateSerial, JobId, MachineId, OrgId, UserId},
    machine::MachineLoad,
    name::Name,
    problem::Problem,
    time::Timestamp,
    usage::UsageSample,
};

use crate::{
    decide::job::acceptable,
    rejection::Rejection,
    schedule::explain::{Subject, explain},
    state::State,
};

/// What the shell knows and the state does not.
#[derive(Debug, Clone, Copy)]
pub struct Presence<'a> {
    pub contacts: &'a BTreeMap<MachineId, Contact>,
    /// Of the session that asks.
    pub certificate: CertificateSerial,
    pub certificate_expires_at: Timestamp,
    /// Of the coordinator.
    pub version: &'a str,
    /// What members seal secrets for the coordinator with.
    pub sealing_key: &'a [u8],
    pub samples: &'a dyn Samples,
}

/// What running attempts used lately.
pub trait Samples: fmt::Debug {
    /// Returns the newest samples of an attempt, at most `most`, oldest first.
    fn newest(&self, attempt: AttemptId, most: usize) -> Vec<UsageSample>;
}

/// The last that was heard of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contact {
    pub at: Timestamp,
    pub load: Option<MachineLoad>,
}

/// Answers every request that only reads: `WhoAmI`, `Show…`, `List…`, `ExplainJob`, and `SubmitJob` with
/// `dry_run`. Lists come in pages of at most [`common::api::MAX_ROWS`] rows.
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
    match request {
        Request::ShowOrg { org } => {
            let overview = org::overview(state, user, *org)?;
            Ok(Answer::Org(Box::new(overview)))
        }
        Request::WhoAmI => Ok(Answer::WhoAmI(member::who_am_i(
            state, presence, now, user,
        )?)),
        Request::ListMembers { org, after } => {
            let members = member::list(state, user, *org, after.as_ref())?;
            Ok(Answer::Members(members))
        }
        Request::ListInvitations { org, after } => {
            let invitations = member::invitations(state, now, user, *org, after.as_ref())?;
            Ok(Answer::Invitations(invitations))
        }
        Request::ListMachines { org, after } => {
            let machines = machine::list(state, presence, user, *org, after.as_ref())?;
            Ok(Answer::Machines(machines))
        }
        Request::ShowMachine { org, name } => {
            let machine = machine::show(state, presence, user, *org, name)?;
            Ok(Answer::Machine(Box::new(machine)))
        }
        Request::Machine(MachineRequest::Explain { org, name }) => {
            let explanation = machine::explain(state, now, user, *org, name)?;
            Ok(Answer::MachineExplanation(Box::new(explanation)))
        }
        Request::ListDatasets { org, after } => {
            let datasets = dataset::list(state, user, *org, after.as_ref())?;
            Ok(Answer::Datasets(datasets))
        }
        Request::ShowDataset { org, name } => {
            Ok(Answer::Dataset(dataset::show(state, user, *org, name)?))
        }
        Request::ListJobs(list) => Ok(Answer::Jobs(job::list(state, user, list)?)),
        Request::ShowJob(show) => {
            let job = job::show(state, presence, user, show)?;
            Ok(Answer::Job(Box::new(job)))
        }
        Request::Data(request) => match dataset::answer(state, now, user, request)? {
            Some(answer) => Ok(Answer::Data(answer)),
            None => Err(not_a_question()),
        },
        Request::Approval(request) => match approval::answer(state, user, request)? {
            Some(answer) => Ok(Answer::Approval(answer)),
            None => Err(not_a_question()),
        },
        Request::Invitation(InvitationRequest::Mine { after }) => {
            let mine = member::pending(state, now, user, after.as_ref())?;
            Ok(Answer::Invitation(InvitationAnswer::Mine(mine)))
        }
        Request::Job(JobRequest::CountDependants { org, number }) => {
            let dependants = job::dependants(state, user, *org, *number)?;
            Ok(Answer::AboutJob(JobAnswer::Dependants(dependants)))
        }
        Request::ExplainJob(ask) => Ok(Answer::Explanation(job::explain_job(
            state, now, user, ask,
        )?)),
        Request::SubmitJob(submit) if submit.dry_run => {
            let explanation = explain_submission(state, now, user, submit)?;
            Ok(Answer::Explanation(explanation))
        }
        Request::Secret(request) => Ok(Answer::Secret(secret::answer(state, user, request)?)),
        Request::Shares(request) => match shares::answer(state, now, user, request)? {
            Some(answer) => Ok(Answer::Shares(answer)),
            None => Err(not_a_question()),
        },
        Request::Limits(question) => Ok(Answer::Limits(limits::answer(state, user, question)?)),
        Request::Project(request) => Ok(Answer::Project(project::answer(state, user, request)?)),
        Request::Org(question) => Ok(Answer::AboutOrg(org::answer(state, now, user, question)?)),
        Request::Token(request) => Ok(Answer::Token(account::answer_tokens(
            state, now, user, request,
        )?)),
        Request::Account(request) => Ok(Answer::Account(account::answer(
            state, presence, now, user, request,
        )?)),
        _ => Err(not_a_question()),
    }
}

fn not_a_question() -> Problem {
    let (what, why) = ("cannot answer this", "it is not a question");
    Problem::new(Code::BadRequest, what, why)
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
    acceptable(state, user, request.org, &request.spec)?;
    let subject = Subject {
        org: request.org,
        owner: user,
        spec: &request.spec.clone().into(),
        job: None,
    };
    Ok(explain(state, now, &subject))
}

/// Returns how many tasks a job has.
pub fn task_count(state: &State, id: JobId) -> u32 {
    state.jobs.get(&id).map_or(0, |job| job.task_count())
}

/// Returns the name of a user.
fn handle(state: &State, user: UserId) -> Result<Name, Rejection> {
    let row = state.users.get(&user);
    row.map(|row| row.handle.clone())
        .ok_or(Rejection::CertificateUnknown)
}

fn org_name(state: &State, org: OrgId) -> Result<Name, Rejection> {
    let row = state.orgs.get(&org);
    row.map(|row| row.name.clone()).ok_or(Rejection::NoSuchOrg)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Most rows of a list.
fn most(asked: u32) -> usize {
    usize::try_from(asked.min(common::api::MAX_ROWS)).unwrap_or(usize::MAX)
}

/// Returns every row of an org in a map by org and user.
fn of_org<V>(
    rows: &BTreeMap<(OrgId, UserId), V>,
    org: OrgId,
) -> impl Iterator<Item = (UserId, &V)> {
    of_org_after(rows, org, None)
}

/// As [`of_org`], from the first user after this one on.
fn of_org_after<'a, V>(
    rows: &'a BTreeMap<(OrgId, UserId), V>,
    org: OrgId,
    after: Option<&UserId>,
) -> impl Iterator<Item = (UserId, &'a V)> + use<'a, V> {
    let first = match after {
        None => Bound::Included((org, UserId::from_bytes([0; 16]))),
        Some(user) => Bound::Excluded((org, *user)),
    };
    let last = Bound::Included((org, UserId::from_bytes([u8::MAX; 16])));
    rows.range((first, last))
        .map(|((_, user), row)| (*user, row))
}
