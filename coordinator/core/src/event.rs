//! Events: everything that can have happened. They change the state, name the rows to write, and are the
//! audit trail; they are never replayed.

pub mod account;
pub mod approval;
pub mod artifact;
pub mod dataset;
pub mod invitation;
pub mod org;
pub mod pass;
pub mod project;
pub mod secret;
mod specification;
pub mod token;
mod touched;
pub mod waiting;

use common::{
    id::{
        AttemptId, CertificateSerial, CodeDigest, DatasetId, DeviceId, Fingerprint, IdempotencyKey,
        InvitationId, JobId, MachineId, OrgId, ProjectId, TreeId, UserId,
    },
    job::{ArtifactsView, JobNumber, JobSpec, Outcome},
    join_link::LinkPurpose,
    label::Label,
    limits::{Limits, ResourceLimits},
    machine::MachineReport,
    name::Name,
    resources::Allocation,
    status::{EndReason, Role, Visibility},
    time::{Span, Timestamp},
    units::Bytes,
};
use serde::Serialize;

use self::{approval::ApprovalEvent, invitation::InvitationEvent};
use crate::lifecycle::job::JobResult;

pub use self::account::{AccountEvent, Profile};
pub use self::org::OrgEvent;
pub use crate::state::{
    attempt::{LogState, Preempted},
    certificate::Holder,
    invitation::Guest,
    job::{PinnedArtifacts, PinnedDataset, Rerun, TaskFate},
    org::Parting,
    trouble::{Making, SetAside},
    usage::{Charge, Settled},
};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    OrgCreated {
        org: OrgId,
        name: Name,
        at: Timestamp,
    },
    UserCreated {
        user: UserId,
        handle: Name,
        at: Timestamp,
    },
    LimitsApplied {
        org: OrgId,
        before: Box<Limits>,
        after: Box<Limits>,
    },
    /// What one member may hold.
    MemberLimitsSet {
        org: OrgId,
        user: UserId,
        by: UserId,
        before: ResourceLimits,
        after: ResourceLimits,
        at: Timestamp,
    },
    MemberAdded {
        org: OrgId,
        user: UserId,
        role: Role,
        at: Timestamp,
    },
    RoleChanged {
        org: OrgId,
        user: UserId,
        before: Role,
        after: Role,
    },
    MemberRemoved {
        org: OrgId,
        user: UserId,
        role: Role,
        at: Timestamp,
        parting: Parting,
        /// Of the devices that are signed out with it: by one of them the user is known again.
        keys: Vec<Fingerprint>,
    },

    InvitationCreated {
        invitation: InvitationId,
        org: OrgId,
        role: Role,
        purpose: LinkPurpose,
        /// Whom a sign-in link is for.
        user: Option<UserId>,
        /// The first use of a sign-in link takes their password and two-factor away.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        reset: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        invitee: Option<Guest>,
        #[serde(skip)]
        codes: Vec<CodeDigest>,
        created_by: UserId,
        at: Timestamp,
        expires_at: Timestamp,
        uses: u32,
    },
    InvitationUsed {
        invitation: InvitationId,
        user: UserId,
        key: Fingerprint,
        at: Timestamp,
    },
    InvitationRevoked {
        invitation: InvitationId,
        at: Timestamp,
    },

    CertificateIssued {
        serial: CertificateSerial,
        holder: Holder,
        /// Of a user's.
        device: Option<DeviceId>,
        key: Fingerprint,
        at: Timestamp,
        expires_at: Timestamp,
    },
    /// Renewed: the old one is good for a grace only.
    CertificateSuperseded {
        serial: CertificateSerial,
        until: Timestamp,
    },
    CertificateRevoked {
        serial: CertificateSerial,
        at: Timestamp,
    },

    MachineRegistered {
        machine: MachineId,
        org: OrgId,
        name: Name,
        owner: UserId,
        key: Fingerprint,
        at: Timestamp,
    },
    MachineApproved {
        machine: MachineId,
        org: OrgId,
        at: Timestamp,
    },
    MachineRejected {
        machine: MachineId,
        org: OrgId,
        reason: String,
        at: Timestamp,
    },
    MachineRemoved {
        machine: MachineId,
        org: OrgId,
        at: Timestamp,
    },
    MachineConnected {
        machine: MachineId,
        org: OrgId,
        report: Box<MachineReport>,
        at: Timestamp,
    },
    MachineDisconnected {
        machine: MachineId,
        org: OrgId,
        at: Timestamp,
    },
    /// No contact for a lease's length and its margin.
    MachineLost {
        machine: MachineId,
        org: OrgId,
        at: Timestamp,
    },
    /// Job after job failed there: it gets nothing new for a while.
    MachineSetAside {
        machine: MachineId,
        org: OrgId,
        aside: Box<SetAside>,
        /// The same in words.
        reason: String,
    },
    /// It was set aside for as long as was said: one job at a time may try.
    MachineTried {
        machine: MachineId,
        org: OrgId,
        at: Timestamp,
    },
    /// It was set aside and is not any more.
    MachineReadmitted {
        machine: MachineId,
        org: OrgId,
        at: Timestamp,
    },
    /// By an admin; those before are gone.
    MachineLabelled {
        machine: MachineId,
        org: OrgId,
        labels: Vec<Label>,
        at: Timestamp,
    },
    MachineReported {
        machine: MachineId,
        org: OrgId,
        report: Box<MachineReport>,
        at: Timestamp,
    },

    DatasetVersionAdded {
        dataset: DatasetId,
        org: OrgId,
        name: Name,
        /// That it belongs to.
        project: Option<ProjectId>,
        /// Who added it; the owner too where it is the first version.
        user: UserId,
        version: u32,
        tree: TreeId,
        bytes: Bytes,
        files: u64,
        description: String,
        visibility: Visibility,
        at: Timestamp,
    },

    JobSubmitted {
        job: JobId,
        org: OrgId,
        number: JobNumber,
        owner: UserId,
        project: Option<ProjectId>,
        /// `None` in a project.
        visibility: Option<Visibility>,
        key: IdempotencyKey,
        #[serde(serialize_with = "specification::without_secrets")]
        spec: Box<JobSpec>,
        pinned: Vec<PinnedDataset>,
        pinned_image: Option<PinnedDataset>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pinned_artifacts: Vec<PinnedArtifacts>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        awaits: Vec<waiting::Awaited>,
        #[serde(skip_serializing_if = "Option::is_none")]
        rerun: Option<Rerun>,
        at: Timestamp,
    },
    /// Everything of it that waits is out of the queue; what runs is told to stop.
    JobCancelled {
        job: JobId,
    },
    /// A waiting task is out of the queue.
    TaskCancelled {
        job: JobId,
        task: u32,
    },
    /// It waited so long for a first task, or for another one, that its priority rose by a step.
    JobRaised {
        job: JobId,
        org: OrgId,
        /// Whose it is, of whom no other one rises for a while.
        owner: UserId,
        at: Timestamp,
    },
    /// Tasks that waited to be tried again are in the queue.
    RetriesDue {
        job: JobId,
        org: OrgId,
        tasks: Vec<u32>,
    },
    JobEnded {
        job: JobId,
        result: JobResult,
        at: Timestamp,
    },
    /// The job has ended: what opened its image's registry is kept no longer.
    LoginForgotten {
        job: JobId,
    },

    AttemptPlaced {
        attempt: AttemptId,
        org: OrgId,
        machine: MachineId,
        allocation: Allocation,
        /// Of each of its GPUs, in their order.
        gpu_models: Vec<String>,
        max_runtime: Option<Span>,
        strong: bool,
        /// Behind which one of the machine it waits, to have its place.
        #[serde(skip_serializing_if = "Option::is_none")]
        behind: Option<AttemptId>,
        at: Timestamp,
    },
    /// It waits behind another one, and is wanted back.
    AttemptReturning {
        attempt: AttemptId,
        machine: MachineId,
    },
    /// It was wanted back and has begun: it stays.
    AttemptKept {
        attempt: AttemptId,
        machine: MachineId,
    },
    /// It came to nothing before it began: its task waits in the queue again.
    AttemptReturned {
        attempt: AttemptId,
        org: OrgId,
        machine: MachineId,
        lender: UserId,
        /// Who waited right behind it, and is where it was.
        next: Option<AttemptId>,
        at: Timestamp,
    },
    AttemptPreparing {
        attempt: AttemptId,
    },
    AttemptStarted {
        attempt: AttemptId,
        at: Timestamp,
    },
    AttemptStopping {
        attempt: AttemptId,
        machine: MachineId,
        reason: EndReason,
    },
    /// It gives way to a job that waits, and is told to stop.
    AttemptPreempted {
        attempt: AttemptId,
        machine: MachineId,
        by: Preempted,
    },
    AttemptEnded {
        attempt: AttemptId,
        org: OrgId,
        machine: MachineId,
        /// Whose machine it is.
        lender: UserId,
        at: Timestamp,
        outcome: Outcome,
        artifacts: ArtifactsView,
        log: LogState,
        fate: TaskFate,
        usage: Box<Settled>,
        /// Who waited right behind it, and has its place.
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<AttemptId>,
    },
    ArtifactsSettled {
        attempt: AttemptId,
        machine: MachineId,
        artifacts: ArtifactsView,
        at: Timestamp,
    },
    /// Nothing more of it will come: it is complete, or the rest is lost.
    LogSettled {
        attempt: AttemptId,
        machine: MachineId,
        log: LogState,
    },

    #[serde(untagged)]
    Org(OrgEvent),
    #[serde(untagged)]
    Project(project::ProjectEvent),
    #[serde(untagged)]
    Invitation(InvitationEvent),
    #[serde(untagged)]
    Account(AccountEvent),
    #[serde(untagged)]
    Secret(secret::SecretEvent),
    #[serde(untagged)]
    Approval(ApprovalEvent),
    #[serde(untagged)]
    Token(token::TokenEvent),
    #[serde(untagged)]
    Dataset(dataset::DatasetEvent),
    #[serde(untagged)]
    Artifact(artifact::ArtifactEvent),
    #[serde(untagged)]
    Waiting(waiting::WaitingEvent),
    #[serde(untagged)]
    Pass(pass::PassEvent),
}
