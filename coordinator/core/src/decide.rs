//! From a command to what happens because of it, or to a rejection. One file per noun; all checks are here.

pub(crate) mod account;
pub(crate) mod approval;
pub(crate) mod artifact;
mod attempt;
pub(crate) mod checkpoint;
pub(crate) mod dataset;
pub(crate) mod device;
mod draft;
pub(crate) mod enrolment;
mod expiry;
mod gang;
pub(crate) mod graph;
pub(crate) mod invitation;
pub(crate) mod job;
mod label;
mod limits;
pub(crate) mod login_link;
mod machine;
pub(crate) mod member;
pub(crate) mod org;
pub(crate) mod project;
pub(crate) mod rejoin;
mod rerun;
mod retry;
mod schedule;
mod secret;
mod set_aside;
mod settle;
mod submission;
pub(crate) mod token;
pub(crate) mod waiting;
mod waking;
mod weight;

use common::{
    id::{JobId, MachineId, OrgId, UserId},
    job::JobNumber,
    name::Name,
    status::Verdict,
};

use crate::{
    command::{Actor, Body, Command},
    event::Event,
    policy,
    rejection::Rejection,
    state::{State, job::Job, machine::Machine},
};

/// Returns what happens because of the command; nothing where it asks for what is already so.
///
/// # Errors
/// The command may not be, and nothing happens.
pub fn decide(state: &State, command: &Command) -> Result<Vec<Event>, Rejection> {
    let (actor, at) = (command.actor, command.at);
    match &command.body {
        Body::CreateOrg {
            org,
            name,
            owner,
            handle,
        } => {
            system(actor)?;
            org::create(state, at, *org, name, *owner, handle)
        }
        Body::ApplyLimits { org, limits } => limits::apply(state, user(actor)?, *org, limits),
        Body::SetMemberLimits(request) => limits::set_member(state, at, user(actor)?, request),
        Body::SetWeight(request) => weight::set(state, at, user(actor)?, request),
        Body::SetRole { org, handle, role } => {
            member::set_role(state, user(actor)?, *org, handle, *role)
        }
        Body::RemoveMember { org, handle } => member::remove(state, at, user(actor)?, *org, handle),

        Body::CreateLoginLink {
            invitation,
            org,
            code,
            ttl,
            user,
            reset,
        } => {
            let link = login_link::LoginLink {
                invitation: *invitation,
                org: *org,
                code: *code,
                ttl: *ttl,
                reset: *reset,
            };
            login_link::decide(state, at, actor, user.as_ref(), &link)
        }
        Body::RevokeInvitation { org, invitation } => {
            invitation::revoke(state, at, user(actor)?, *org, *invitation)
        }
        Body::Enrol {
            code,
            purpose,
            fresh_user,
            handle,
            sign_in,
            certificate,
        } => {
            stranger(actor)?;
            let admission = enrolment::admit(state, *code, *purpose, certificate.key, at)?;
            enrolment::enrol(
                state,
                at,
                &admission,
                *fresh_user,
                handle.as_ref(),
                sign_in,
                certificate,
            )
        }
        Body::RenewCertificate { old, new } => enrolment::renew(state, at, actor, *old, new),

        Body::RegisterMachine {
            machine,
            org,
            name,
            key,
            from,
        } => {
            let offered = machine::Offered {
                machine: *machine,
                org: *org,
                name,
                key: *key,
                from: *from,
            };
            machine::register(state, at, user(actor)?, &offered)
        }
        Body::ApproveMachine { org, name } => {
            let user = user(actor)?;
            machine::answer(state, at, user, *org, name, Verdict::Approve, "")
        }
        Body::RejectMachine { org, name, reason } => {
            let user = user(actor)?;
            machine::answer(state, at, user, *org, name, Verdict::Reject, reason)
        }
        Body::RemoveMachine { org, name } => machine::remove(state, at, user(actor)?, *org, name),
        Body::ReadmitMachine { org, name } => {
            set_aside::readmit(state, at, user(actor)?, *org, name)
        }
        Body::LabelMachine(request) => label::label(state, at, user(actor)?, request),
        Body::ClaimMachine {
            machine,
            certificate,
        } => {
            stranger(actor)?;
            enrolment::claim(state, at, *machine, certificate)
        }
        Body::ConnectMachine { report, attempts } => {
            machine::connect(state, at, machine(actor)?, report, attempts)
        }
        Body::DisconnectMachine { machine } => {
            if actor != Actor::System && actor != Actor::Machine(*machine) {
                return Err(Rejection::WrongCaller);
            }
            Ok(machine::disconnect(state, at, *machine))
        }
        Body::ReportMachine { report } => machine::report(state, at, machine(actor)?, report),
        Body::ExpireLease { machine } => {
            system(actor)?;
            Ok(machine::expire_lease(state, at, *machine))
        }

        Body::AddDatasetVersion {
            dataset,
            request,
            bytes,
            files,
        } => dataset::add_version(state, at, user(actor)?, *dataset, request, *bytes, *files),

        Body::SubmitJob { job, request } => job::submit(state, at, user(actor)?, *job, request),
        Body::CancelJob(request) => job::cancel(state, at, user(actor)?, request),
        Body::Job(command) => job::decide(state, at, user(actor)?, command),

        Body::ReportAttempt {
            attempt,
            report,
            artifact_size,
        } => attempt::report(state, at, machine(actor)?, *attempt, report, *artifact_size),
        Body::CompleteLog { attempt } => {
            system(actor)?;
            Ok(attempt::complete_log(state, *attempt))
        }

        Body::Schedule { most } => {
            system(actor)?;
            Ok(schedule::schedule(state, at, *most))
        }

        Body::Project(command) => project::decide(state, at, user(actor)?, command),
        Body::Approval(command) => approval::decide(state, at, user(actor)?, command),
        Body::Invitation(command) => invitation::decide(state, at, user(actor)?, command),
        Body::FinishDeletion { org } => {
            system(actor)?;
            Ok(org::finish_deletion(state, *org))
        }
        Body::Org(command) => org::decide(state, at, user(actor)?, command),
        Body::Account(command) => account::decide(state, at, user(actor)?, command),
        Body::Secret(command) => secret::decide(state, at, user(actor)?, command),
        Body::TryProof(tried) => {
            system(actor)?;
            account::proof::begin(state, at, tried.user)
        }
        Body::Token(command) => token::decide(state, at, user(actor)?, command),
        Body::ExchangeToken(command) => {
            stranger(actor)?;
            token::exchange(state, at, command)
        }
        Body::Dataset(command) => dataset::decide(state, at, user(actor)?, command),
        Body::FinishDiscarding(swept) => {
            system(actor)?;
            Ok(dataset::deletion::finish(state, swept))
        }
        Body::ReportFetched { tree, failed } => {
            dataset::warm::fetched(state, machine(actor)?, *tree, failed.as_ref())
        }
        Body::ExpireWarm => {
            system(actor)?;
            Ok(dataset::warm::expire(state, at))
        }
        Body::DeclineInvitation { code } => {
            stranger(actor)?;
            invitation::decline_by_code(state, at, *code)
        }
        Body::ForgetInvitations { most } => {
            system(actor)?;
            Ok(invitation::forgetting::forget(state, at, *most))
        }
        Body::ExpireData { most } => {
            system(actor)?;
            Ok(expiry::expire(state, at, *most))
        }
        Body::Wake { most } => {
            system(actor)?;
            Ok(waking::wake(state, at, *most))
        }
    }
}

fn user(actor: Actor) -> Result<UserId, Rejection> {
    match actor {
        Actor::User(user) | Actor::Program { user, .. } => Ok(user),
        _ => Err(Rejection::WrongCaller),
    }
}

fn machine(actor: Actor) -> Result<MachineId, Rejection> {
    match actor {
        Actor::Machine(machine) => Ok(machine),
        _ => Err(Rejection::WrongCaller),
    }
}

fn system(actor: Actor) -> Result<(), Rejection> {
    match actor {
        Actor::System => Ok(()),
        _ => Err(Rejection::WrongCaller),
    }
}

fn stranger(actor: Actor) -> Result<(), Rejection> {
    match actor {
        Actor::Stranger => Ok(()),
        _ => Err(Rejection::WrongCaller),
    }
}

/// Returns the living machine of this name. Every member may see it.
pub(crate) fn find_machine<'a>(
    state: &'a State,
    org: OrgId,
    name: &Name,
) -> Result<(MachineId, &'a Machine), Rejection> {
    let names = state.index.machine_names.get(&org);
    let found = names.and_then(|names| {
        let id = names.get(name)?;
        Some((*id, state.machines.get(id)?))
    });
    found.ok_or_else(|| Rejection::NoSuchMachine {
        name: Some(name.clone()),
    })
}

/// Returns the job of this number, if the user may see it.
pub(crate) fn find_job(
    state: &State,
    user: UserId,
    org: OrgId,
    number: JobNumber,
) -> Result<(JobId, &Job), Rejection> {
    let member = policy::member(state, org, user)?;
    let found = state.index.job_numbers.get(&(org, number)).and_then(|id| {
        let job = state.jobs.get(id)?;
        policy::may_see_job(state, user, member.role, job).then_some((*id, job))
    });
    found.ok_or(Rejection::NoSuchJob { number })
}

/// Checks that the job has the task.
pub(crate) fn find_task(job: &Job, task: u32) -> Result<(), Rejection> {
    if job.has_task(task) {
        Ok(())
    } else {
        Err(Rejection::no_such_task(job, task))
    }
}
