//! How far API tokens reach: one table of everything that can be asked by which scope it takes and in which org it
//! acts. Asked for every request, before anything else looks at it.

use common::{
    api::{
        Request,
        account::AccountRequest,
        approval::ApprovalRequest,
        audit::AuditRequest,
        data::DataRequest,
        invitation::InvitationRequest,
        job::JobRequest,
        limits::LimitsRequest,
        machine::{LabelMachine, MachineRequest},
        org::OrgRequest,
        project::ProjectRequest,
        secret::SecretRequest,
        shares::SharesRequest,
        storage::StorageRequest,
        token::TokenRequest,
    },
    id::OrgId,
    status::TokenScope::{self, Admin, Read, Submit},
};

use crate::{
    rejection::{AccountRejection, Rejection},
    state::account::Token,
};

/// What somebody who is connected wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask<'a> {
    Request(&'a Request),
    Upload { org: OrgId },
    Download { org: OrgId },
}

/// What it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// `None`: the user themselves, no token.
    pub scope: Option<TokenScope>,
    /// Where it acts; `None` for what is about the user alone.
    pub org: Option<OrgId>,
}

/// Returns whether a token lets its program ask this.
///
/// # Errors
/// Its scope is too narrow; any other org than its own is not found.
pub(crate) fn check(token: &Token, ask: Ask<'_>) -> Result<(), Rejection> {
    let needs = needs(ask);
    if needs.org.is_some_and(|org| org != token.org) {
        return Err(Rejection::NoSuchOrg);
    }
    if needs.scope.is_some_and(|scope| token.scope >= scope) {
        return Ok(());
    }
    let (has, needs) = (token.scope, needs.scope);
    Err(AccountRejection::TokenScope { has, needs }.into())
}

/// Returns whether a device may ask this that somebody else in an org has let in: what is of that org or of the account
/// alone, and nothing that would reach into another.
///
/// # Errors
/// Another org is not found; the user is to go into one as themselves.
pub(crate) fn check_bound(bound: OrgId, ask: Ask<'_>) -> Result<(), Rejection> {
    if needs(ask).org.is_some_and(|org| org != bound) {
        return Err(Rejection::NoSuchOrg);
    }
    let beyond = matches!(
        ask,
        Ask::Request(
            Request::CreateLoginLink(_)
                | Request::Invitation(_)
                | Request::Org(OrgRequest::Create { .. } | OrgRequest::RequestRejoin { .. })
        )
    );
    if beyond {
        return Err(AccountRejection::BoundDevice.into());
    }
    Ok(())
}

/// Returns what a token needs for this.
pub fn needs(ask: Ask<'_>) -> Needs {
    match ask {
        Ask::Request(request) => of_request(request),
        Ask::Upload { org } => in_org(Submit, org),
        Ask::Download { org } => in_org(Read, org),
    }
}

const fn in_org(scope: TokenScope, org: OrgId) -> Needs {
    Needs {
        scope: Some(scope),
        org: Some(org),
    }
}

const fn own(scope: TokenScope) -> Needs {
    Needs {
        scope: Some(scope),
        org: None,
    }
}

/// What protects an account, or reaches beyond one org.
const PERSON: Needs = Needs {
    scope: None,
    org: None,
};

fn of_request(request: &Request) -> Needs {
    match request {
        Request::WhoAmI | Request::RenewCertificate { .. } => own(Read),
        Request::ShowOrg { org }
        | Request::ListMembers { org, .. }
        | Request::ListInvitations { org, .. }
        | Request::ListMachines { org, .. }
        | Request::ShowMachine { org, .. }
        | Request::ListDatasets { org, .. }
        | Request::ShowDataset { org, .. } => in_org(Read, *org),
        Request::ListJobs(list) => in_org(Read, list.org),
        Request::ShowJob(show) => in_org(Read, show.org),
        Request::ExplainJob(ask) => in_org(Read, ask.org),
        Request::FollowJob(follow) => in_org(Read, follow.org),
        Request::SubmitJob(submit) if submit.dry_run => in_org(Read, submit.org),
        Request::SubmitJob(submit) => in_org(Submit, submit.org),
        Request::CancelJob(cancel) => in_org(Submit, cancel.org),
        Request::AddDatasetVersion(add) => in_org(Submit, add.org),
        Request::ApplyLimits { org, .. }
        | Request::SetRole { org, .. }
        | Request::RemoveMember { org, .. }
        | Request::RevokeInvitation { org, .. }
        | Request::ApproveMachine { org, .. }
        | Request::RejectMachine { org, .. }
        | Request::RemoveMachine { org, .. } => in_org(Admin, *org),
        Request::CreateInvitations(create) => in_org(Admin, create.org),
        // A machine sees what it runs: whoever may add one reaches further than whoever submits.
        Request::RegisterMachine(register) => in_org(Admin, register.org),
        Request::CreateLoginLink(_) | Request::Token(TokenRequest::Create(_)) => PERSON,
        Request::Token(TokenRequest::List { .. } | TokenRequest::Revoke { .. }) => PERSON,
        Request::Machine(MachineRequest::Explain { org, .. }) => in_org(Read, *org),
        Request::Machine(MachineRequest::Readmit { org, .. })
        | Request::Machine(MachineRequest::Label(LabelMachine { org, .. })) => in_org(Admin, *org),
        Request::Org(request) => of_org(request),
        Request::Project(request) => of_project(request),
        Request::Audit(request) => match request {
            AuditRequest::List(list) => in_org(Read, list.org),
            AuditRequest::Chain(chain) => in_org(Read, chain.org),
        },
        Request::ShowUsage(show) => in_org(Read, show.org),
        Request::Limits(request) => match request {
            LimitsRequest::Show { org }
            | LimitsRequest::Diff { org, .. }
            | LimitsRequest::Member { org, .. } => in_org(Read, *org),
            LimitsRequest::SetMember(set) => in_org(Admin, set.org),
        },
        Request::Approval(request) => match request {
            ApprovalRequest::List { org, .. }
            | ApprovalRequest::Show { org, .. }
            | ApprovalRequest::ShowRules { org } => in_org(Read, *org),
            ApprovalRequest::Decide { org, .. }
            | ApprovalRequest::SetJobThreshold { org, .. }
            | ApprovalRequest::AddMachineRule { org, .. }
            | ApprovalRequest::RemoveMachineRule { org, .. } => in_org(Admin, *org),
        },
        Request::Secret(request) => match request {
            SecretRequest::List { org, .. } => in_org(Read, *org),
            SecretRequest::Delete { org, .. } => in_org(Admin, *org),
            SecretRequest::Set(set) => in_org(Admin, set.org),
            SecretRequest::Allow(allow) => in_org(Admin, allow.org),
        },
        Request::Data(request) => match request {
            DataRequest::PreviewDeletion(delete) => in_org(Read, delete.org),
            DataRequest::ListDeleted { org, .. } => in_org(Read, *org),
            DataRequest::Verify(verify) => in_org(Read, verify.org),
            DataRequest::Delete(delete) => in_org(Admin, delete.org),
            DataRequest::Restore(restore) => in_org(Admin, restore.org),
            DataRequest::Set(set) => in_org(Admin, set.org),
            DataRequest::Move(relocate) => in_org(Admin, relocate.org),
            DataRequest::Warm(warm) => in_org(Submit, warm.org),
            DataRequest::ShowWarm(warm) => in_org(Read, warm.org),
        },
        Request::Storage(
            StorageRequest::Collect { org, dry_run: true } | StorageRequest::Show { org },
        ) => in_org(Read, *org),
        Request::Job(request) => match request {
            JobRequest::Hold(hold) | JobRequest::Release(hold) => in_org(Submit, hold.org),
            JobRequest::Rerun(rerun) => in_org(Submit, rerun.org),
            JobRequest::SubmitGraph(graph) => in_org(Submit, graph.org),
            JobRequest::CountDependants { org, .. } => in_org(Read, *org),
        },
        Request::Storage(StorageRequest::Collect { org, .. }) => in_org(Admin, *org),
        Request::Shares(SharesRequest::Show { org }) => in_org(Read, *org),
        Request::Shares(SharesRequest::SetWeight(set)) => in_org(Admin, set.org),
        Request::Invitation(request) => match request {
            InvitationRequest::Mine { .. }
            | InvitationRequest::Accept { .. }
            | InvitationRequest::Decline { .. }
            | InvitationRequest::Join { .. } => PERSON,
        },
        Request::Account(request) => match request {
            // Signing out is for everybody.
            AccountRequest::Show
            | AccountRequest::RevokeDevice {
                of: None,
                device: None,
            } => own(Read),
            AccountRequest::ChangeProfile { .. }
            | AccountRequest::ListDevices { .. }
            | AccountRequest::RevokeDevice { .. }
            | AccountRequest::RevokeLinks { .. }
            | AccountRequest::SetPassword { .. }
            | AccountRequest::BeginTwoFactor
            | AccountRequest::ConfirmTwoFactor { .. }
            | AccountRequest::StopTwoFactor { .. }
            | AccountRequest::NewRecoveryCodes { .. } => PERSON,
        },
    }
}

fn of_org(request: &OrgRequest) -> Needs {
    match request {
        OrgRequest::ShowSettings { org }
        | OrgRequest::ShowLogo { org }
        | OrgRequest::PreviewRemoval { org, .. } => in_org(Read, *org),
        OrgRequest::ChangeSettings { org, .. }
        | OrgRequest::SetLogo { org, .. }
        | OrgRequest::RemoveLogo { org } => in_org(Admin, *org),
        OrgRequest::PreviewLeaving { .. }
        | OrgRequest::PreviewDeletion { .. }
        | OrgRequest::Leave { .. }
        | OrgRequest::Transfer { .. }
        | OrgRequest::RequestRejoin { .. }
        | OrgRequest::Create { .. }
        | OrgRequest::Delete { .. } => PERSON,
    }
}

fn of_project(request: &ProjectRequest) -> Needs {
    match request {
        ProjectRequest::List { org, .. } | ProjectRequest::Show { org, .. } => in_org(Read, *org),
        ProjectRequest::Create(create) => in_org(Admin, create.org),
        ProjectRequest::Grant(grant) => in_org(Admin, grant.org),
        ProjectRequest::Revoke(revoke) => in_org(Admin, revoke.org),
        ProjectRequest::Set(set) => in_org(Admin, set.org),
        ProjectRequest::Archive(archive) => in_org(Admin, archive.org),
    }
}
