//! Effects: what the shell has to do because of an event, after it is committed. All can be done twice or,
//! after a crash, not at all: whoever connects again is told everything anew.

use std::collections::BTreeSet;

use common::id::{AttemptId, CertificateSerial, JobId, MachineId, OrgId};

use crate::{
    event::{
        Event, OrgEvent,
        approval::{ApprovalEvent, ApprovalSubject},
        dataset::DatasetEvent,
        pass::PassEvent,
    },
    state::State,
};

/// Something for the shell to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// The machine's desired set changed: send it [`crate::assign()`].
    Assign(MachineId),
    /// The certificate is no longer good: close every connection that was opened with it.
    Close(CertificateSerial),
    /// Somebody may be waiting for this.
    Wake(Topic),
    /// The attempt has ended: drop what was remembered of its running.
    Forget(AttemptId),
    /// Files of a deleted org or dataset lie on the disk.
    Sweep,
    /// An org's bytes are to live elsewhere.
    Move,
}

/// What somebody may be waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    Job(JobId),
    Machine(MachineId),
    Org(OrgId),
}

/// Returns what the shell has to do because of `event`, which `state` has already taken in.
pub fn effects(state: &State, event: &Event) -> Vec<Effect> {
    let org_of = |job: &JobId| {
        state
            .jobs
            .get(job)
            .map(|job| Effect::Wake(Topic::Org(job.org)))
    };
    let job = |job: JobId| Effect::Wake(Topic::Job(job));
    let machine = |machine: MachineId| Effect::Wake(Topic::Machine(machine));
    let org = |org: OrgId| Effect::Wake(Topic::Org(org));
    match event {
        Event::OrgCreated { org: id, .. }
        | Event::LimitsApplied { org: id, .. }
        | Event::MemberLimitsSet { org: id, .. }
        | Event::MemberAdded { org: id, .. }
        | Event::RoleChanged { org: id, .. }
        | Event::MemberRemoved { org: id, .. }
        | Event::Org(
            OrgEvent::OrgLogoChanged { org: id, .. }
            | OrgEvent::OrgTransferred { org: id, .. }
            | OrgEvent::MemberWeightSet { org: id, .. }
            | OrgEvent::OrgFilesDeleted { org: id, .. }
            | OrgEvent::RejoinRequested { org: id, .. }
            | OrgEvent::RejoinRefused { org: id, .. },
        )
        | Event::InvitationCreated { org: id, .. }
        | Event::DatasetVersionAdded { org: id, .. } => vec![org(*id)],
        Event::Org(OrgEvent::OrgSettingsChanged {
            org: id,
            before,
            after,
        }) => {
            let moves = (before.storage != after.storage).then_some(Effect::Move);
            moves.into_iter().chain([org(*id)]).collect()
        }
        Event::Dataset(DatasetEvent::DatasetPurged { org: id, .. }) => {
            vec![Effect::Sweep, org(*id)]
        }
        Event::Artifact(event) => vec![Effect::Sweep, org(event.org())],
        Event::Dataset(
            DatasetEvent::DatasetWarmed { machine: id, .. }
            | DatasetEvent::DatasetWarmEnded { machine: id, .. },
        ) => vec![Effect::Assign(*id), machine(*id)],
        Event::Dataset(event) => vec![org(event.org())],
        Event::Project(event) => vec![org(event.org())],
        Event::Secret(event) => vec![org(event.org())],
        Event::Org(OrgEvent::OrgDeleted { org: id, .. }) => vec![Effect::Sweep, org(*id)],
        Event::UserCreated { .. }
        | Event::InvitationUsed { .. }
        | Event::InvitationRevoked { .. }
        | Event::Invitation(_)
        | Event::CertificateIssued { .. }
        | Event::CertificateSuperseded { .. }
        | Event::LoginForgotten { .. }
        | Event::Account(_)
        | Event::Token(_)
        | Event::Pass(
            PassEvent::PreemptionLooked { .. }
            | PassEvent::PreemptionDue { .. }
            | PassEvent::ScheduleSettled { .. },
        ) => Vec::new(),
        Event::Approval(event) => {
            let subject = match event {
                ApprovalEvent::ApprovalDecided {
                    subject: ApprovalSubject::Job(id),
                    ..
                } => Some(job(*id)),
                _ => None,
            };
            subject.into_iter().chain([org(event.org())]).collect()
        }
        Event::CertificateRevoked { serial, .. } => vec![Effect::Close(*serial)],
        Event::MachineRegistered {
            machine: id,
            org: o,
            ..
        }
        | Event::MachineApproved {
            machine: id,
            org: o,
            ..
        }
        | Event::MachineRejected {
            machine: id,
            org: o,
            ..
        }
        | Event::MachineRemoved {
            machine: id,
            org: o,
            ..
        }
        | Event::MachineSetAside {
            machine: id,
            org: o,
            ..
        }
        | Event::MachineTried {
            machine: id,
            org: o,
            ..
        }
        | Event::MachineReadmitted {
            machine: id,
            org: o,
            ..
        }
        | Event::MachineLabelled {
            machine: id,
            org: o,
            ..
        }
        | Event::MachineDisconnected {
            machine: id,
            org: o,
            ..
        }
        | Event::Pass(
            PassEvent::MachineReserved {
                machine: id,
                org: o,
                ..
            }
            | PassEvent::ReservationEnded {
                machine: id,
                org: o,
            },
        )
        | Event::MachineReported {
            machine: id,
            org: o,
            ..
        } => vec![machine(*id), org(*o)],
        Event::MachineConnected {
            machine: id,
            org: o,
            ..
        } => {
            vec![Effect::Assign(*id), machine(*id), org(*o)]
        }
        Event::MachineLost {
            machine: id,
            org: o,
            ..
        } => {
            // Whoever waits for a log of an ended attempt there waits no longer.
            let used = state.index.machines.get(id);
            let jobs: BTreeSet<JobId> = used
                .into_iter()
                .flat_map(|used| used.desired.iter().map(|attempt| attempt.job))
                .collect();
            [machine(*id), org(*o)]
                .into_iter()
                .chain(jobs.into_iter().map(job))
                .collect()
        }
        Event::JobSubmitted {
            job: id, org: o, ..
        }
        | Event::RetriesDue {
            job: id, org: o, ..
        } => vec![job(*id), org(*o)],
        Event::JobCancelled { job: id }
        | Event::TaskCancelled { job: id, .. }
        | Event::JobRaised { job: id, .. }
        | Event::JobEnded { job: id, .. } => [job(*id)].into_iter().chain(org_of(id)).collect(),
        Event::Waiting(event) => {
            let id = event.job();
            [job(id)].into_iter().chain(org_of(&id)).collect()
        }
        Event::AttemptPlaced {
            attempt,
            machine: on,
            org: o,
            ..
        } => {
            vec![Effect::Assign(*on), job(attempt.job), machine(*on), org(*o)]
        }
        Event::AttemptEnded {
            attempt,
            machine: on,
            ..
        }
        | Event::AttemptReturned {
            attempt,
            machine: on,
            ..
        } => {
            let told = [job(attempt.job), machine(*on)];
            [Effect::Assign(*on), Effect::Forget(*attempt)]
                .into_iter()
                .chain(told)
                .chain(org_of(&attempt.job))
                .collect()
        }
        Event::AttemptPreparing { attempt } | Event::AttemptStarted { attempt, .. } => {
            vec![job(attempt.job)]
        }
        Event::AttemptReturning {
            attempt,
            machine: on,
        }
        | Event::AttemptKept {
            attempt,
            machine: on,
        }
        | Event::AttemptStopping {
            attempt,
            machine: on,
            ..
        }
        | Event::AttemptPreempted {
            attempt,
            machine: on,
            ..
        }
        | Event::ArtifactsSettled {
            attempt,
            machine: on,
            ..
        }
        | Event::LogSettled {
            attempt,
            machine: on,
            ..
        } => {
            vec![Effect::Assign(*on), job(attempt.job)]
        }
    }
}
