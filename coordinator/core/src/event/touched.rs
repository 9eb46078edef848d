//! Which rows an event changes.

use super::Event;
use crate::state::rows::RowKey;

impl Event {
    /// Returns the rows to write again (or delete) once the event is applied.
    pub fn touched(&self) -> Vec<RowKey> {
        match self {
            Self::OrgCreated { org, .. } | Self::LimitsApplied { org, .. } => {
                vec![RowKey::org(*org)]
            }
            Self::UserCreated { user, .. } => vec![RowKey::user(*user)],
            Self::RoleChanged { org, user, .. } => vec![RowKey::member(*org, *user)],
            Self::MemberAdded { org, user, .. } | Self::MemberRemoved { org, user, .. } => {
                vec![
                    RowKey::member(*org, *user),
                    RowKey::former(*org, *user),
                    RowKey::own_limits(*org, *user),
                    RowKey::standing(*org, *user),
                ]
            }
            Self::MemberLimitsSet { org, user, .. } => {
                vec![RowKey::own_limits(*org, *user)]
            }

            Self::InvitationCreated { invitation, .. }
            | Self::InvitationRevoked { invitation, .. } => vec![RowKey::invitation(*invitation)],
            Self::InvitationUsed {
                invitation, key, ..
            } => vec![
                RowKey::invitation(*invitation),
                RowKey::invitation_use(*invitation, *key),
            ],

            Self::CertificateIssued { serial, device, .. } => {
                let device = device.map(RowKey::device);
                let rows = [RowKey::certificate(*serial)];
                rows.into_iter().chain(device).collect()
            }
            Self::CertificateSuperseded { serial, .. }
            | Self::CertificateRevoked { serial, .. } => vec![RowKey::certificate(*serial)],

            Self::MachineRegistered { machine, .. }
            | Self::MachineApproved { machine, .. }
            | Self::MachineRejected { machine, .. }
            | Self::MachineRemoved { machine, .. }
            | Self::MachineSetAside { machine, .. }
            | Self::MachineTried { machine, .. }
            | Self::MachineReadmitted { machine, .. }
            | Self::MachineLabelled { machine, .. }
            | Self::MachineDisconnected { machine, .. } => vec![RowKey::machine(*machine)],
            Self::MachineConnected { machine, .. } | Self::MachineReported { machine, .. } => {
                vec![RowKey::machine(*machine), RowKey::report(*machine)]
            }

            Self::DatasetVersionAdded { dataset, .. } => vec![RowKey::dataset(*dataset)],

            Self::JobSubmitted { job, org, .. } => {
                vec![RowKey::org(*org), RowKey::job(*job), RowKey::progress(*job)]
            }
            Self::JobCancelled { job }
            | Self::TaskCancelled { job, .. }
            | Self::RetriesDue { job, .. }
            | Self::JobEnded { job, .. } => vec![RowKey::progress(*job)],
            Self::JobRaised {
                job, org, owner, ..
            } => vec![RowKey::progress(*job), RowKey::standing(*org, *owner)],
            Self::LoginForgotten { job } => vec![RowKey::job(*job)],

            Self::AttemptPreparing { attempt } => vec![RowKey::attempt(*attempt)],
            Self::AttemptStarted { attempt, .. } => {
                vec![RowKey::attempt(*attempt), RowKey::progress(attempt.job)]
            }
            Self::AttemptPlaced {
                attempt, machine, ..
            } => vec![
                RowKey::attempt(*attempt),
                RowKey::progress(attempt.job),
                RowKey::machine(*machine),
            ],
            Self::AttemptEnded {
                attempt,
                org,
                machine,
                lender,
                usage,
                next,
                ..
            } => {
                let mut rows = vec![
                    RowKey::attempt(*attempt),
                    RowKey::progress(attempt.job),
                    RowKey::machine(*machine),
                ];
                rows.extend(next.map(RowKey::attempt));
                let standing = |user| RowKey::standing(*org, user);
                rows.extend(usage.charged(*lender).map(standing));
                rows
            }
            Self::AttemptReturned {
                attempt,
                machine,
                next,
                ..
            } => {
                let own = [
                    RowKey::attempt(*attempt),
                    RowKey::progress(attempt.job),
                    RowKey::machine(*machine),
                ];
                own.into_iter().chain(next.map(RowKey::attempt)).collect()
            }
            Self::AttemptStopping {
                attempt, machine, ..
            }
            | Self::AttemptPreempted {
                attempt, machine, ..
            }
            | Self::AttemptReturning { attempt, machine }
            | Self::AttemptKept { attempt, machine }
            | Self::ArtifactsSettled {
                attempt, machine, ..
            }
            | Self::LogSettled {
                attempt, machine, ..
            } => vec![RowKey::attempt(*attempt), RowKey::machine(*machine)],

            Self::MachineLost { .. } | Self::Pass(_) => Vec::new(),
            Self::Org(event) => event.touched(),
            Self::Project(event) => event.touched(),

            Self::Invitation(event) => event.touched(),
            Self::Account(event) => event.touched(),
            Self::Secret(event) => event.touched(),
            Self::Approval(event) => event.touched(),
            Self::Token(event) => event.touched(),
            Self::Dataset(event) => event.touched(),
            Self::Artifact(event) => event.touched(),
            Self::Waiting(event) => event.touched(),
        }
    }
}
