//! What is asked and answered, one file per noun. The command line speaks these types over QUIC; other doors
//! show the same ones as JSON.
//!
//! [`Request`] and [`Answer`] are append-only: a variant, once shipped, is frozen (see [`crate::wire`]).

pub mod account;
pub mod approval;
pub mod audit;
pub mod data;
pub mod explain;
pub mod invitation;
pub mod job;
pub mod limits;
pub mod machine;
pub mod member;
pub mod org;
pub mod page;
pub mod project;
pub mod secret;
pub mod shares;
pub mod storage;
pub mod token;
pub mod usage;

use serde::{Deserialize, Serialize};

use crate::{
    dataset::DatasetView,
    id::{InvitationId, MachineId, OrgId, UserId},
    job::{JobDetail, JobNumber, JobSummary},
    limits::Limits,
    machine::MachineView,
    name::Name,
    org::{InvitationView, MemberView, OrgOverview},
    status::Role,
};

use page::Page;

/// Most rows of any list in one answer.
pub const MAX_ROWS: u32 = 1000;

/// One question or command of a member. The session's certificate says who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    WhoAmI,
    RenewCertificate {
        csr: Vec<u8>,
    },

    ShowOrg {
        org: OrgId,
    },
    ApplyLimits {
        org: OrgId,
        limits: Limits,
    },
    /// By id of the user.
    ListMembers {
        org: OrgId,
        /// Only those after this one, for the next page.
        after: Option<UserId>,
    },
    SetRole {
        org: OrgId,
        handle: Name,
        role: Role,
    },
    RemoveMember {
        org: OrgId,
        handle: Name,
    },
    CreateInvitations(member::CreateInvitations),
    /// Newest first.
    ListInvitations {
        org: OrgId,
        /// Only those after this one, for the next page.
        after: Option<InvitationId>,
    },
    RevokeInvitation {
        org: OrgId,
        invitation: InvitationId,
    },
    CreateLoginLink(account::CreateLoginLink),

    RegisterMachine(member::RegisterMachine),
    /// By name.
    ListMachines {
        org: OrgId,
        /// Only those after this one, for the next page. Rejected ones may have the name of another.
        after: Option<(Name, MachineId)>,
    },
    ShowMachine {
        org: OrgId,
        name: Name,
    },
    ApproveMachine {
        org: OrgId,
        name: Name,
    },
    RejectMachine {
        org: OrgId,
        name: Name,
        reason: String,
    },
    RemoveMachine {
        org: OrgId,
        name: Name,
    },

    AddDatasetVersion(data::AddDatasetVersion),
    /// By name.
    ListDatasets {
        org: OrgId,
        /// Only those after this one, for the next page.
        after: Option<Name>,
    },
    ShowDataset {
        org: OrgId,
        name: Name,
    },

    SubmitJob(Box<job::SubmitJob>),
    ListJobs(job::ListJobs),
    ShowJob(job::ShowJob),
    CancelJob(job::CancelJob),
    ExplainJob(job::ExplainJob),
    /// Answered by a stream of [`job::FollowEvent`]s.
    FollowJob(job::FollowJob),

    Org(org::OrgRequest),
    Project(project::ProjectRequest),
    Audit(audit::AuditRequest),
    Invitation(invitation::InvitationRequest),
    Account(account::AccountRequest),
    Secret(secret::SecretRequest),
    Limits(limits::LimitsRequest),
    ShowUsage(usage::ShowUsage),
    Approval(approval::ApprovalRequest),
    Token(token::TokenRequest),
    Data(data::DataRequest),
    Storage(storage::StorageRequest),
    Shares(shares::SharesRequest),
    Job(job::JobRequest),
    Machine(machine::MachineRequest),
}

/// The answer to a [`Request`]; a refusal travels as a [`crate::problem::Problem`] instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It was done and there is nothing to tell.
    Done,
    WhoAmI(member::WhoAmI),
    /// Leaf first, DER.
    Certificate {
        chain: Vec<Vec<u8>>,
    },
    Org(Box<OrgOverview>),
    Members(Page<MemberView, UserId>),
    Invited(Vec<member::Invited>),
    Invitations(Page<InvitationView, InvitationId>),
    LoginSecret {
        secret: String,
    },
    Registered(member::Registered),
    Machines(Page<MachineView, (Name, MachineId)>),
    Machine(Box<MachineView>),
    Datasets(Page<DatasetView, Name>),
    Dataset(DatasetView),
    Submitted(job::Submitted),
    Jobs(Page<JobSummary, JobNumber>),
    Job(Box<JobDetail>),
    Explanation(explain::Explanation),
    AboutOrg(org::OrgAnswer),
    Project(project::ProjectAnswer),
    Audit(audit::AuditAnswer),
    Invitation(invitation::InvitationAnswer),
    Account(account::AccountAnswer),
    Secret(secret::SecretAnswer),
    Limits(limits::LimitsAnswer),
    Usage(usage::UsageReport),
    Approval(approval::ApprovalAnswer),
    Token(token::TokenAnswer),
    Data(data::DataAnswer),
    Storage(storage::StorageAnswer),
    Shares(shares::SharesAnswer),
    AboutJob(job::JobAnswer),
    MachineExplanation(Box<machine::MachineExplanation>),
}
