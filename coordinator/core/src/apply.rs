//! The only thing that changes the state. Never fails: whatever could go wrong was checked in
//! [`crate::decide()`]. One file per noun.

mod account;
mod approval;
mod artifact;
mod attempt;
mod dataset;
mod enrolment;
mod job;
mod machine;
mod org;
mod pass;
mod project;
mod secret;
mod token;
mod waiting;

use crate::{event::Event, state::State};

/// Takes an event in.
pub fn apply(state: &mut State, event: &Event) {
    match event {
        Event::OrgCreated { .. }
        | Event::UserCreated { .. }
        | Event::LimitsApplied { .. }
        | Event::MemberLimitsSet { .. }
        | Event::MemberAdded { .. }
        | Event::RoleChanged { .. }
        | Event::MemberRemoved { .. }
        | Event::Org(_) => org::apply(state, event),
        Event::InvitationCreated { .. }
        | Event::InvitationUsed { .. }
        | Event::InvitationRevoked { .. }
        | Event::Invitation(_)
        | Event::CertificateIssued { .. }
        | Event::CertificateSuperseded { .. }
        | Event::CertificateRevoked { .. } => enrolment::apply(state, event),
        Event::MachineRegistered { .. }
        | Event::MachineApproved { .. }
        | Event::MachineRejected { .. }
        | Event::MachineRemoved { .. }
        | Event::MachineConnected { .. }
        | Event::MachineDisconnected { .. }
        | Event::MachineLost { .. }
        | Event::MachineSetAside { .. }
        | Event::MachineTried { .. }
        | Event::MachineReadmitted { .. }
        | Event::MachineLabelled { .. }
        | Event::MachineReported { .. } => machine::apply(state, event),
        Event::DatasetVersionAdded { .. } => dataset::add_version(state, event),
        Event::Dataset(event) => dataset::apply(state, event),
        Event::Artifact(event) => artifact::apply(state, event),
        Event::JobSubmitted { .. }
        | Event::JobCancelled { .. }
        | Event::TaskCancelled { .. }
        | Event::RetriesDue { .. }
        | Event::JobEnded { .. }
        | Event::JobRaised { .. }
        | Event::LoginForgotten { .. } => job::apply(state, event),
        Event::AttemptPlaced { .. }
        | Event::AttemptReturning { .. }
        | Event::AttemptKept { .. }
        | Event::AttemptReturned { .. }
        | Event::AttemptPreparing { .. }
        | Event::AttemptStarted { .. }
        | Event::AttemptStopping { .. }
        | Event::AttemptPreempted { .. }
        | Event::AttemptEnded { .. }
        | Event::ArtifactsSettled { .. }
        | Event::LogSettled { .. } => attempt::apply(state, event),
        Event::Account(event) => account::apply(state, event),
        Event::Approval(event) => approval::apply(state, event),
        Event::Token(event) => token::apply(state, event),
        Event::Pass(event) => pass::apply(state, event),
        Event::Project(event) => project::apply(state, event),
        Event::Secret(event) => secret::apply(state, event),
        Event::Waiting(event) => waiting::apply(state, event),
    }
}
