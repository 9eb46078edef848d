//! What a command line asks.

use super::super::Sample;
use super::nouns::{CURSOR, INVITATION, KEY, MACHINE, NUMBER, ORG, TREE, limits, name, submit_job};
use crate::api::Request;
use crate::api::account::CreateLoginLink;
use crate::api::data::AddDatasetVersion;
use crate::api::job::{CancelJob, ExplainJob, FollowJob, ListJobs, ShowJob};
use crate::api::machine::{LabelMachine, MachineRequest};
use crate::api::member::{CreateInvitations, RegisterMachine};
use crate::invitee::Invitee;
use crate::status::{JobStatus, Role, Visibility};
use crate::time::Span;

pub(super) fn requests() -> Vec<Sample> {
    let org = ORG;
    let handle = name("ada");
    let reason = "not ours".to_owned();
    let machine = || name("box");
    [
        ("who_am_i", Request::WhoAmI),
        (
            "renew_certificate",
            Request::RenewCertificate {
                csr: vec![0x30, 0x00],
            },
        ),
        ("show_org", Request::ShowOrg { org }),
        (
            "apply_limits",
            Request::ApplyLimits {
                org,
                limits: limits(),
            },
        ),
        ("list_members", Request::ListMembers { org, after: None }),
        (
            "set_role",
            Request::SetRole {
                org,
                handle: handle.clone(),
                role: Role::Admin,
            },
        ),
        (
            "remove_member",
            Request::RemoveMember {
                org,
                handle: handle.clone(),
            },
        ),
        (
            "create_invitations",
            Request::CreateInvitations(CreateInvitations {
                org,
                role: Role::Member,
                ttl: Span::from_secs(86_400),
                uses: 1,
                count: 3,
                invitee: Some(Invitee::User(handle.clone())),
            }),
        ),
        (
            "list_invitations",
            Request::ListInvitations {
                org,
                after: Some(INVITATION),
            },
        ),
        (
            "revoke_invitation",
            Request::RevokeInvitation {
                org,
                invitation: INVITATION,
            },
        ),
        (
            "create_login_link",
            Request::CreateLoginLink(CreateLoginLink {
                org,
                user: None,
                reset: false,
            }),
        ),
        (
            "create_login_link_for_another",
            Request::CreateLoginLink(CreateLoginLink {
                org,
                user: Some(handle.clone()),
                reset: true,
            }),
        ),
        (
            "register_machine",
            Request::RegisterMachine(RegisterMachine {
                org,
                name: machine(),
                key: KEY,
            }),
        ),
        (
            "list_machines",
            Request::ListMachines {
                org,
                after: Some((machine(), MACHINE)),
            },
        ),
        (
            "show_machine",
            Request::ShowMachine {
                org,
                name: machine(),
            },
        ),
        (
            "approve_machine",
            Request::ApproveMachine {
                org,
                name: machine(),
            },
        ),
        (
            "reject_machine",
            Request::RejectMachine {
                org,
                name: machine(),
                reason,
            },
        ),
        (
            "explain_machine",
            Request::Machine(MachineRequest::Explain {
                org,
                name: machine(),
            }),
        ),
        (
            "readmit_machine",
            Request::Machine(MachineRequest::Readmit {
                org,
                name: machine(),
            }),
        ),
        (
            "label_machine",
            Request::Machine(MachineRequest::Label(LabelMachine {
                org,
                name: machine(),
                set: vec!["zone=a".parse().unwrap()],
                unset: vec!["ssd".parse().unwrap()],
            })),
        ),
        (
            "remove_machine",
            Request::RemoveMachine {
                org,
                name: machine(),
            },
        ),
        (
            "add_dataset_version",
            Request::AddDatasetVersion(AddDatasetVersion {
                org,
                name: name("digits"),
                tree: TREE,
                description: Some("hand-written".to_owned()),
                visibility: Some(Visibility::OrgRead),
                project: Some(name("vision")),
            }),
        ),
        (
            "list_datasets",
            Request::ListDatasets {
                org,
                after: Some(name("digits")),
            },
        ),
        (
            "show_dataset",
            Request::ShowDataset {
                org,
                name: name("digits"),
            },
        ),
        ("submit_job", Request::SubmitJob(Box::new(submit_job()))),
        (
            "list_jobs",
            Request::ListJobs(ListJobs {
                org,
                status: JobStatus::ALL.to_vec(),
                owner: Some(handle),
                project: Some(name("vision")),
                before: Some(NUMBER),
                limit: 50,
            }),
        ),
        (
            "show_job",
            Request::ShowJob(ShowJob {
                org,
                number: NUMBER,
                task: Some(7),
                attempts: 1000,
                live: true,
            }),
        ),
        (
            "cancel_job",
            Request::CancelJob(CancelJob {
                org,
                number: NUMBER,
                task: None,
                dependants: true,
            }),
        ),
        (
            "explain_job",
            Request::ExplainJob(ExplainJob {
                org,
                number: NUMBER,
            }),
        ),
        (
            "follow_job",
            Request::FollowJob(FollowJob {
                org,
                number: NUMBER,
                task: None,
                logs: true,
                until_end: true,
                cursors: vec![CURSOR],
            }),
        ),
    ]
    .iter()
    .map(|(name, request)| Sample::new(name, request))
    .collect()
}
