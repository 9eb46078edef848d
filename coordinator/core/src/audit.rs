//! What the audit log makes of an event: what it is about, and whose log it belongs in.

use common::{
    id::{CertificateSerial, InvitationId, JobId, MachineId, OrgId, UserId},
    status::AuditKind,
};

use crate::{
    event::{Event, Holder, OrgEvent, invitation::InvitationEvent},
    state::State,
};

/// Where an event belongs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filed {
    pub kind: AuditKind,
    /// The org that it is of; `None` for what happens to a user, who may belong to many.
    pub org: Option<OrgId>,
    /// The orgs whose log it goes into: that one, or those that the user belongs to.
    pub orgs: Vec<OrgId>,
}

/// Returns where an event belongs in, given the state that has not taken it in yet.
pub fn file(state: &State, event: &Event) -> Filed {
    let (kind, about) = about(event);
    let (org, orgs) = match about.resolve(state) {
        Owner::Org(org) => (Some(org), vec![org]),
        Owner::User(user) => (None, orgs_of(state, user)),
        Owner::Nobody => (None, Vec::new()),
    };
    Filed { kind, org, orgs }
}

/// Returns whether the log takes an event in. The steps of an attempt on the way to its end are in its row, and would be
/// most of what is ever written; how it ended, on which machine and what it used is kept.
pub fn is_kept(event: &Event) -> bool {
    !matches!(
        event,
        Event::AttemptPlaced { .. }
            | Event::AttemptReturning { .. }
            | Event::AttemptKept { .. }
            | Event::AttemptPreparing { .. }
            | Event::AttemptStarted { .. }
            | Event::ArtifactsSettled { .. }
            | Event::LogSettled { .. }
            | Event::RetriesDue { .. }
    )
}

/// What an event names of whom it belongs to.
enum About {
    Org(OrgId),
    User(UserId),
    Machine(MachineId),
    Job(JobId),
    Invitation(InvitationId),
    Certificate(CertificateSerial),
}

enum Owner {
    Org(OrgId),
    User(UserId),
    /// The row is not there: of an org that was deleted.
    Nobody,
}

impl About {
    fn resolve(self, state: &State) -> Owner {
        let org = |org: Option<OrgId>| org.map_or(Owner::Nobody, Owner::Org);
        match self {
            Self::Org(id) => Owner::Org(id),
            Self::User(id) => Owner::User(id),
            Self::Machine(id) => org(state.machines.get(&id).map(|row| row.org)),
            Self::Job(id) => org(state.jobs.get(&id).map(|row| row.org)),
            Self::Invitation(id) => org(state.invitations.get(&id).map(|row| row.org)),
            Self::Certificate(serial) => match state.certificates.get(&serial) {
                Some(row) => Self::of_holder(row.holder).resolve(state),
                None => Owner::Nobody,
            },
        }
    }

    fn of_holder(holder: Holder) -> Self {
        match holder {
            Holder::User(user) => Self::User(user),
            Holder::Machine(machine) => Self::Machine(machine),
        }
    }
}

fn orgs_of(state: &State, user: UserId) -> Vec<OrgId> {
    let orgs = state.index.belongings.orgs.get(&user);
    orgs.into_iter().flatten().copied().collect()
}

fn about(event: &Event) -> (AuditKind, About) {
    match event {
        Event::OrgCreated { org, .. }
        | Event::Org(
            OrgEvent::OrgSettingsChanged { org, .. }
            | OrgEvent::OrgLogoChanged { org, .. }
            | OrgEvent::OrgTransferred { org, .. }
            | OrgEvent::OrgDeleted { org, .. }
            | OrgEvent::OrgFilesDeleted { org, .. },
        ) => (AuditKind::Org, About::Org(*org)),
        Event::Org(OrgEvent::RejoinRequested { org, .. } | OrgEvent::RejoinRefused { org, .. }) => {
            (AuditKind::Member, About::Org(*org))
        }
        Event::Token(event) => (AuditKind::Token, About::Org(event.org())),
        Event::Account(event) => (event.audit_kind(), About::User(event.user())),
        Event::Approval(event) => (AuditKind::Approval, About::Org(event.org())),
        Event::Project(event) => (AuditKind::Project, About::Org(event.org())),
        Event::Secret(event) => (AuditKind::Secret, About::Org(event.org())),
        Event::LimitsApplied { org, .. }
        | Event::MemberLimitsSet { org, .. }
        | Event::Org(OrgEvent::MemberWeightSet { org, .. }) => (AuditKind::Limit, About::Org(*org)),
        Event::UserCreated { user, .. } => (AuditKind::Member, About::User(*user)),
        Event::MemberAdded { org, .. }
        | Event::RoleChanged { org, .. }
        | Event::MemberRemoved { org, .. } => (AuditKind::Member, About::Org(*org)),

        Event::InvitationCreated { org, .. } => (AuditKind::Invitation, About::Org(*org)),
        Event::InvitationUsed { invitation, .. }
        | Event::InvitationRevoked { invitation, .. }
        | Event::Invitation(InvitationEvent::InvitationDeclined { invitation, .. }) => {
            (AuditKind::Invitation, About::Invitation(*invitation))
        }
        // What ended long ago goes by itself.
        Event::Invitation(
            InvitationEvent::InvitationUsesForgotten { org, .. }
            | InvitationEvent::InvitationForgotten { org, .. },
        ) => (AuditKind::Connection, About::Org(*org)),

        // Certificates come and go by themselves; what people did is told of their devices.
        Event::CertificateIssued { holder, .. } => {
            (AuditKind::Connection, About::of_holder(*holder))
        }
        Event::CertificateSuperseded { serial, .. } | Event::CertificateRevoked { serial, .. } => {
            (AuditKind::Connection, About::Certificate(*serial))
        }

        Event::MachineRegistered { org, .. }
        | Event::MachineApproved { org, .. }
        | Event::MachineRejected { org, .. }
        | Event::MachineRemoved { org, .. }
        | Event::MachineSetAside { org, .. }
        | Event::MachineReadmitted { org, .. }
        | Event::MachineLabelled { org, .. } => (AuditKind::Machine, About::Org(*org)),
        Event::MachineConnected { org, .. }
        | Event::MachineDisconnected { org, .. }
        | Event::MachineLost { org, .. }
        | Event::MachineReported { org, .. }
        | Event::MachineTried { org, .. } => (AuditKind::Connection, About::Org(*org)),
        Event::Pass(event) => (AuditKind::Connection, About::Org(event.org())),

        Event::DatasetVersionAdded { org, .. } => (AuditKind::Dataset, About::Org(*org)),
        Event::Dataset(event) => (AuditKind::Dataset, About::Org(event.org())),
        Event::Artifact(event) => (AuditKind::Attempt, About::Org(event.org())),

        Event::JobSubmitted { org, .. } => (AuditKind::Job, About::Org(*org)),
        Event::JobCancelled { job } | Event::TaskCancelled { job, .. } => {
            (AuditKind::Job, About::Job(*job))
        }
        Event::JobEnded { job, .. }
        | Event::JobRaised { job, .. }
        | Event::LoginForgotten { job } => (AuditKind::Job, About::Job(*job)),
        Event::Waiting(event) => (AuditKind::Job, About::Job(event.job())),

        Event::AttemptPlaced { org, .. } | Event::RetriesDue { org, .. } => {
            (AuditKind::Attempt, About::Org(*org))
        }
        Event::AttemptPreparing { attempt }
        | Event::AttemptStarted { attempt, .. }
        | Event::AttemptStopping { attempt, .. }
        | Event::AttemptPreempted { attempt, .. }
        | Event::AttemptReturning { attempt, .. }
        | Event::AttemptKept { attempt, .. }
        | Event::AttemptReturned { attempt, .. }
        | Event::AttemptEnded { attempt, .. }
        | Event::ArtifactsSettled { attempt, .. }
        | Event::LogSettled { attempt, .. } => (AuditKind::Attempt, About::Job(attempt.job)),
    }
}
