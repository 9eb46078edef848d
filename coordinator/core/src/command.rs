//! Commands: everything that can be asked of the engine. Requests of members, reports of agents and timers
//! all come as one of these; the doors build them, nothing else does.

pub mod account;
pub mod approval;
pub mod dataset;
pub mod invitation;
pub mod job;
pub mod org;
pub mod project;
pub mod secret;
pub mod token;

use std::net::IpAddr;

use common::{
    api::{
        data::AddDatasetVersion,
        job::{CancelJob, SubmitJob},
        limits::SetMemberLimits,
        machine::LabelMachine,
        shares::SetWeight,
    },
    id::{
        AttemptId, CertificateSerial, CodeDigest, DatasetId, Fingerprint, InvitationId, JobId,
        MachineId, OrgId, TokenId, TreeId, UserId,
    },
    join_link::LinkPurpose,
    limits::Limits,
    machine::MachineReport,
    name::Name,
    status::Role,
    time::{Span, Timestamp},
    units::Bytes,
    wire::agent::AttemptReport,
};
use serde::Serialize;

pub use self::account::{AccountCommand, Proof, SignIn};
pub use self::org::{OrgCommand, WhoMayCreateOrgs};
use self::{dataset::WarmFailure, invitation::InvitationCommand};

/// One thing asked, by whom and when. Fresh ids in it were minted by the door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The engine's clock when it took the command; never goes back from one command to the next.
    pub at: Timestamp,
    pub actor: Actor,
    pub body: Body,
}

/// Who asks, as the session's certificate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    User(UserId),
    /// A program that acts for a user, by a token of theirs.
    Program {
        user: UserId,
        token: TokenId,
    },
    Machine(MachineId),
    /// Somebody without a certificate, at the join door.
    Stranger,
    /// The coordinator itself: set-up, timers, the schedule.
    System,
}

/// A certificate that was signed and takes effect with the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewCertificate {
    pub serial: CertificateSerial,
    /// Of the public key.
    pub key: Fingerprint,
    pub expires_at: Timestamp,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// System only. The owner is made if no user has the id.
    CreateOrg {
        org: OrgId,
        name: Name,
        owner: UserId,
        handle: Name,
    },
    ApplyLimits {
        org: OrgId,
        limits: Box<Limits>,
    },
    SetMemberLimits(SetMemberLimits),
    SetWeight(SetWeight),
    SetRole {
        org: OrgId,
        handle: Name,
        role: Role,
    },
    RemoveMember {
        org: OrgId,
        handle: Name,
    },

    /// A sign-in link, good once.
    CreateLoginLink {
        invitation: InvitationId,
        org: OrgId,
        code: CodeDigest,
        ttl: Span,
        /// Whom it signs in; `None` is the user who asks (System: the org's owner).
        user: Option<Name>,
        /// Takes away what else would have to be shown: password and two-factor, which were lost.
        reset: bool,
    },
    RevokeInvitation {
        org: OrgId,
        invitation: InvitationId,
    },
    /// Stranger. Burns one use of the code; asked again with the same key it succeeds again without a use.
    Enrol {
        code: CodeDigest,
        purpose: LinkPurpose,
        /// For a user who joins; a sign-in has its own.
        fresh_user: UserId,
        handle: Option<Name>,
        sign_in: SignIn,
        certificate: NewCertificate,
    },
    /// Renewal by the user or machine who asks: the old serial stays good for a grace of one hour.
    RenewCertificate {
        old: CertificateSerial,
        new: NewCertificate,
    },

    RegisterMachine {
        machine: MachineId,
        org: OrgId,
        name: Name,
        key: Fingerprint,
        /// Where the member who registers it is, as the connection says.
        from: Option<IpAddr>,
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
    /// Stranger. The approved machine with this key gets its certificate.
    ClaimMachine {
        machine: MachineId,
        certificate: NewCertificate,
    },
    /// The machine's hello. `attempts` are those it still has something of.
    ConnectMachine {
        report: MachineReport,
        attempts: Vec<AttemptId>,
    },
    DisconnectMachine {
        machine: MachineId,
    },
    /// What the machine lends has changed.
    ReportMachine {
        report: MachineReport,
    },
    /// System. No contact for a lease's length and its margin: attempts there have ended by themselves.
    ExpireLease {
        machine: MachineId,
    },

    AddDatasetVersion {
        dataset: DatasetId,
        request: AddDatasetVersion,
        bytes: Bytes,
        files: u64,
    },

    SubmitJob {
        job: JobId,
        request: SubmitJob,
    },
    CancelJob(CancelJob),
    Job(job::JobCommand),

    ReportAttempt {
        attempt: AttemptId,
        report: AttemptReport,
        artifact_size: Option<(Bytes, u64)>,
    },
    /// System. The whole log of an ended attempt is on the coordinator's disk.
    CompleteLog {
        attempt: AttemptId,
    },

    /// System. Places at most `most` tasks.
    Schedule {
        most: u32,
    },

    Org(OrgCommand),
    /// System. What a deleted org had on the disk is gone.
    FinishDeletion {
        org: OrgId,
    },
    Project(project::ProjectCommand),
    Invitation(InvitationCommand),
    Account(AccountCommand),
    Secret(secret::SecretCommand),
    Approval(approval::ApprovalCommand),
    TryProof(account::TryProof),
    Token(token::TokenCommand),
    ExchangeToken(token::ExchangeToken),
    Dataset(dataset::DatasetCommand),
    /// System. A sweep has dealt with what these were kept for.
    FinishDiscarding(Vec<dataset::DiscardedTree>),
    /// Stranger. Whoever has the code of an invitation for an address turns it down.
    DeclineInvitation {
        code: CodeDigest,
    },
    /// Machine. Data that was wanted on it is there, or why it cannot be.
    ReportFetched {
        tree: TreeId,
        failed: Option<WarmFailure>,
    },
    /// System. Gives up data that was wanted on machines for long enough.
    ExpireWarm,
    /// System. Forgets invitations and sign-in links that ended long ago, at most `most` rows.
    ForgetInvitations {
        most: u32,
    },
    /// System. Takes deleted datasets and artifacts away that were kept for as long as was said, at most `most`.
    ExpireData {
        most: u32,
    },
    /// Lets jobs onto a machine again that was set aside.
    ReadmitMachine {
        org: OrgId,
        name: Name,
    },
    /// Says something of a machine, or takes it back.
    LabelMachine(LabelMachine),
    /// System. Lets tasks into the queue that are tried again, and jobs onto machines that were set aside, once their
    /// moment has come, at most `most`.
    Wake {
        most: u32,
    },
}
