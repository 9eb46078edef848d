//! One request, one answer. Questions go to the read models; everything else becomes a command, and what it led
//! to is read from its events or from the state after the commit.

mod account;
mod approval;
mod audit;
mod dataset;
mod invitation;
mod job;
mod orgs;
mod project;
mod secret;
mod storage;
mod token;
mod usage;

use std::collections::{BTreeMap, BTreeSet};

use certs::Subject;
use common::{
    api::{
        Answer, Request,
        account::CreateLoginLink,
        data::{AddDatasetVersion, DataAnswer},
        job::{JobRequest, SubmitJob},
        limits::LimitsRequest,
        machine::MachineRequest,
        member::{RegisterMachine, Registered},
        shares::SharesRequest,
    },
    code::Code,
    id::{DatasetId, JobId, MachineId, OrgId, TreeId, UserId},
    problem::Problem,
};
use coordinator_core::{
    Body, Event,
    command::job::JobCommand,
    query::{self, Presence, enrolment},
};

use super::Member;
use crate::{
    blobs::Store,
    desk::{blocking, parse_request},
    mint, sign_in,
};

/// Answers anything but `FollowJob`, which is a stream.
pub(super) async fn answer(
    member: &Member,
    user: UserId,
    request: Request,
) -> Result<Answer, Problem> {
    let desk = &*member.desk;
    let command = match request {
        Request::RenewCertificate { csr } => return renew(member, user, &csr).await,
        Request::CreateInvitations(request) => {
            return invitation::create(member, request).await;
        }
        Request::Invitation(request) => return invitation::serve(member, user, request).await,
        Request::Approval(request) => return approval::serve(member, user, request).await,
        Request::CreateLoginLink(request) => return login_link(member, request).await,
        Request::Secret(request) => return secret::answer(member, user, request).await,
        Request::RegisterMachine(request) => return register(member, request).await,
        Request::Project(request) => return project::answer(member, user, request).await,
        Request::AddDatasetVersion(request) => return add_version(member, user, request).await,
        Request::ShowUsage(request) => return usage::show(desk, user, &request).await,
        Request::Audit(request) => return audit::answer(desk, user, request).await,
        Request::SubmitJob(request) if !request.dry_run => {
            return submit(member, user, *request).await;
        }
        Request::Org(request) => return orgs::answer(member, user, request).await,
        Request::ApplyLimits { org, limits } => Body::ApplyLimits {
            org,
            limits: Box::new(limits),
        },
        Request::Limits(LimitsRequest::SetMember(request)) => Body::SetMemberLimits(request),
        Request::Shares(SharesRequest::SetWeight(request)) => Body::SetWeight(request),
        Request::SetRole { org, handle, role } => Body::SetRole { org, handle, role },
        Request::RemoveMember { org, handle } => Body::RemoveMember { org, handle },
        Request::RevokeInvitation { org, invitation } => Body::RevokeInvitation { org, invitation },
        Request::ApproveMachine { org, name } => Body::ApproveMachine { org, name },
        Request::RejectMachine { org, name, reason } => Body::RejectMachine { org, name, reason },
        Request::RemoveMachine { org, name } => Body::RemoveMachine { org, name },
        Request::Machine(MachineRequest::Readmit { org, name }) => {
            Body::ReadmitMachine { org, name }
        }
        Request::Machine(MachineRequest::Label(request)) => Body::LabelMachine(request),
        Request::CancelJob(request) => Body::CancelJob(request),
        Request::Job(JobRequest::SubmitGraph(request)) => {
            return job::submit_graph(member, user, request).await;
        }
        Request::Job(JobRequest::Rerun(request)) => return job::rerun(member, user, request).await,
        Request::Job(JobRequest::Hold(request)) => Body::Job(JobCommand::Hold(request)),
        Request::Job(JobRequest::Release(request)) => Body::Job(JobCommand::Release(request)),
        Request::Account(request) => return account::answer(member, user, request).await,
        Request::Data(request) => return dataset::answer(member, user, request).await,
        Request::Storage(request) => return storage::answer(member, user, request).await,
        Request::Token(request) => return token::answer(member, user, request).await,
        question @ (Request::WhoAmI
        | Request::Limits(_)
        | Request::Shares(_)
        | Request::ShowOrg { .. }
        | Request::ListMembers { .. }
        | Request::ListInvitations { .. }
        | Request::ListMachines { .. }
        | Request::ShowMachine { .. }
        | Request::Machine(MachineRequest::Explain { .. })
        | Request::ListDatasets { .. }
        | Request::ShowDataset { .. }
        | Request::SubmitJob(_)
        | Request::ListJobs(_)
        | Request::ShowJob(_)
        | Request::ExplainJob(_)
        | Request::Job(JobRequest::CountDependants { .. })
        | Request::FollowJob(_)) => return ask(member, user, &question),
    };
    desk.engine.ask(member.actor, command).await?;
    Ok(Answer::Done)
}

/// Answers from the state as it is committed now.
fn ask(member: &Member, user: UserId, question: &Request) -> Result<Answer, Problem> {
    let desk = &*member.desk;
    let contacts = match question {
        Request::ListMachines { .. } | Request::ShowMachine { .. } => {
            desk.wires.machines.contacts()
        }
        _ => BTreeMap::new(),
    };
    let presence = Presence {
        contacts: &contacts,
        certificate: member.session.serial(),
        certificate_expires_at: member.session.expires_at(),
        version: env!("CARGO_PKG_VERSION"),
        sealing_key: desk.sealing_key.public(),
        samples: &*desk.wires.usage,
    };
    query::answer(&desk.engine.read(), &presence, desk.now(), user, question)
}

async fn renew(member: &Member, user: UserId, csr: &[u8]) -> Result<Answer, Problem> {
    let desk = &*member.desk;
    let request = parse_request(csr)?;
    let token = enrolment::token_expiry(&desk.engine.read(), member.session.serial());
    let signed = match token {
        None => desk.issue(&request, Subject::User(user))?,
        Some(expires_at) => desk.issue_to_program(&request, user, expires_at)?,
    };
    let renewal = Body::RenewCertificate {
        old: member.session.serial(),
        new: signed.certificate,
    };
    desk.engine.ask(member.actor, renewal).await?;
    let new = signed.certificate;
    member.session.renewed(new.serial, new.expires_at);
    Ok(Answer::Certificate {
        chain: signed.chain,
    })
}

async fn login_link(member: &Member, wish: CreateLoginLink) -> Result<Answer, Problem> {
    let desk = &*member.desk;
    let ttl = match wish.user {
        None => sign_in::BESIDE,
        Some(_) => sign_in::SENT,
    };
    let (secret, body) = sign_in::link(desk.now(), wish, ttl);
    desk.engine.ask(member.actor, body).await?;
    Ok(Answer::LoginSecret { secret })
}

async fn register(member: &Member, request: RegisterMachine) -> Result<Answer, Problem> {
    let desk = &*member.desk;
    let RegisterMachine { org, name, key } = request;
    let body = Body::RegisterMachine {
        machine: MachineId::new(mint::uuid(desk.now())),
        org,
        name: name.clone(),
        key,
        from: Some(member.session.connection().remote_address().ip()),
    };
    let events = desk.engine.ask(member.actor, body).await?;
    let fresh = events.iter().find_map(|event| match event {
        Event::MachineRegistered { machine, .. } => Some(*machine),
        _ => None,
    });
    // Registered again with the same key, it is the machine that is there.
    let machine = fresh.or_else(|| enrolment::machine_id(&desk.engine.read(), org, &name));
    let machine = machine.ok_or_else(|| {
        let why = "it was rejected or removed just now";
        Problem::new(Code::WrongState, "The machine is not registered", why)
    })?;
    let approved = enrolment::is_approved(&desk.engine.read(), machine);
    Ok(Answer::Registered(Registered { machine, approved }))
}

async fn add_version(
    member: &Member,
    user: UserId,
    request: AddDatasetVersion,
) -> Result<Answer, Problem> {
    let desk = &*member.desk;
    let tree = request.tree;
    let _named = desk.blobs.named().await;
    check_sent(member, request.org, tree)?;
    let store = desk.store(request.org).await?;
    let held = store.clone();
    let stored = blocking(move || store.size(tree)).await;
    let (bytes, files) = stored.map_err(|problem| match problem.code {
        Code::NotFound => not_uploaded(tree),
        _ => problem,
    })?;
    let (org, name) = (request.org, request.name.clone());
    let body = Body::AddDatasetVersion {
        dataset: DatasetId::new(mint::uuid(desk.now())),
        request,
        bytes,
        files,
    };
    let events = desk.engine.ask(member.actor, body).await?;
    held.release(tree);
    let answer = ask(member, user, &Request::ShowDataset { org, name })?;
    let added = |event: &Event| matches!(event, Event::DatasetVersionAdded { .. });
    Ok(match answer {
        Answer::Dataset(dataset) if !events.iter().any(added) => {
            Answer::Data(DataAnswer::Unchanged(Box::new(dataset)))
        }
        answer => answer,
    })
}

async fn submit(member: &Member, user: UserId, request: SubmitJob) -> Result<Answer, Problem> {
    let desk = &*member.desk;
    let _named = desk.blobs.named().await;
    let key = request.key;
    // Sent again with the same key, the job that is there has its folder already.
    let there = enrolment::sent_with(&desk.engine.read(), user, key);
    let new = request.spec.sent().filter(|tree| !there.contains(tree));
    let held = all_sent(member, request.org, new.collect()).await?;
    let job = JobId::new(mint::uuid(desk.now()));
    let body = Body::SubmitJob { job, request };
    desk.engine.ask(member.actor, body).await?;
    for (store, tree) in held {
        store.release(tree);
    }
    // Sent again with the same key, it is the job that is there.
    let submitted = enrolment::submitted(&desk.engine.read(), user, key);
    Ok(Answer::Submitted(
        submitted.expect("the commit before has this key"),
    ))
}

/// Checks that all of it is here, and was sent by whoever names it. It is to be released once a job has it.
async fn all_sent(
    member: &Member,
    org: OrgId,
    trees: BTreeSet<TreeId>,
) -> Result<Vec<(Store, TreeId)>, Problem> {
    let mut held = Vec::with_capacity(trees.len());
    for tree in trees {
        check_sent(member, org, tree)?;
        let store = member.desk.store(org).await?;
        let asked = store.clone();
        if !blocking(move || asked.has_tree(tree)).await? {
            return Err(not_uploaded(tree));
        }
        held.push((store, tree));
    }
    Ok(held)
}

/// Checks that whoever names a tree has sent it: that it is here, and what its id is, others may see too.
fn check_sent(member: &Member, org: OrgId, tree: TreeId) -> Result<(), Problem> {
    let desk = &*member.desk;
    if desk.receipts.has(member.actor, org, tree, desk.now()) {
        return Ok(());
    }
    Err(not_uploaded(tree))
}

/// Says the same of what is here and of what is not.
fn not_uploaded(tree: TreeId) -> Problem {
    let why = format!("you have not sent the tree {tree} of late, or not all of it");
    Problem::new(Code::NotUploaded, "The files are not here", why)
}
