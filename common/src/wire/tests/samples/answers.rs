//! What comes back.

use super::super::Sample;
use super::accounts::DEVICE;
use super::nouns::{AT, CURSOR, INVITATION, JOB, MACHINE, NUMBER, ORG, USER, last, name};
use super::views::{
    dataset_view, explanation, invited, job_detail, job_summary, machine_explanation, machine_view,
    org_overview,
};
use crate::api::Answer;
use crate::api::job::{FollowEvent, Submitted};
use crate::api::member::{Registered, WhoAmI};
use crate::api::page::Page;
use crate::invitee::Invitee;
use crate::job::{After, JobNumber};
use crate::org::{InvitationStatus, InvitationView, MemberView, MembershipView};
use crate::status::{Condition, JobStatus, Role, TokenScope};

pub(super) fn answers() -> Vec<Sample> {
    let mut all: Vec<Sample> = [
        ("done", Answer::Done),
        (
            "who_am_i",
            Answer::WhoAmI(WhoAmI {
                user: USER,
                handle: name("ada"),
                orgs: vec![MembershipView {
                    org: ORG,
                    name: name("lab"),
                    role: Role::Owner,
                }],
                certificate_expires_at: AT,
                coordinator_version: "0.1.0".to_owned(),
                sealing_key: vec![9; 32],
                pending_invitations: 1,
                display_name: Some("Ada Lovelace".parse().unwrap()),
                email: Some("ada@lab.example".parse().unwrap()),
                device: Some(DEVICE),
                two_factor: true,
                scope: Some(TokenScope::Submit),
            }),
        ),
        (
            "certificate",
            Answer::Certificate {
                chain: vec![vec![1], vec![2, 3]],
            },
        ),
        ("org", Answer::Org(Box::new(org_overview()))),
        (
            "members",
            Answer::Members(Page {
                rows: vec![MemberView {
                    handle: name("ada"),
                    role: Role::Member,
                    joined_at: AT,
                    machines: 1,
                    running: 2,
                    queued: 3,
                    display_name: None,
                    email: None,
                }],
                next: Some(USER),
            }),
        ),
        ("invited", Answer::Invited(vec![invited()])),
        (
            "invitations",
            Answer::Invitations(last(InvitationView {
                id: INVITATION,
                role: Role::Member,
                status: InvitationStatus::Revoked,
                created_by: name("ada"),
                created_at: AT,
                expires_at: AT,
                uses_left: 0,
                invitee: Some(Invitee::User(name("grace"))),
                guests: vec![name("grace")],
            })),
        ),
        (
            "login_secret",
            Answer::LoginSecret {
                secret: "SECRET".to_owned(),
            },
        ),
        (
            "registered",
            Answer::Registered(Registered {
                machine: MACHINE,
                approved: true,
            }),
        ),
        ("machines", Answer::Machines(last(machine_view()))),
        ("machine", Answer::Machine(Box::new(machine_view()))),
        ("datasets", Answer::Datasets(Page::default())),
        ("dataset", Answer::Dataset(dataset_view())),
        (
            "submitted",
            Answer::Submitted(Submitted {
                id: JOB,
                number: NUMBER,
                status: JobStatus::AwaitingApproval,
                awaits: vec![After {
                    job: JobNumber(41),
                    condition: Condition::Started,
                }],
                held: true,
            }),
        ),
        ("jobs", Answer::Jobs(last(job_summary()))),
        ("job", Answer::Job(Box::new(job_detail()))),
        ("explanation", Answer::Explanation(explanation())),
        (
            "machine_explanation",
            Answer::MachineExplanation(Box::new(machine_explanation())),
        ),
    ]
    .iter()
    .map(|(name, answer)| Sample::new(name, answer))
    .collect();
    all.extend([
        Sample::new("status", &FollowEvent::Status(job_summary())),
        Sample::new(
            "log",
            &FollowEvent::Log {
                cursor: CURSOR,
                records: vec![0; 14],
            },
        ),
        Sample::new("end", &FollowEvent::End),
    ]);
    all
}
