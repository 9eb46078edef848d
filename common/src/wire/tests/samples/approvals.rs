//! Approvals and their rules.

use super::super::Sample;
use super::nouns::{AT, ORG, last, name};
use crate::api::approval::{ApprovalAnswer, ApprovalRequest};
use crate::api::{Answer, Request};
use crate::approval::{
    ApprovalRef, ApprovalRules, ApprovalView, DecisionView, JobRule, MachineRule,
};
use crate::id::ApprovalId;
use crate::job::JobNumber;
use crate::status::{ApprovalKind, ApprovalStatus, Role, Verdict};
use crate::time::Span;

pub(super) fn approval_view() -> ApprovalView {
    ApprovalView {
        id: ApprovalId::from_bytes([11; 16]),
        kind: ApprovalKind::Job,
        subject: "job:42".to_owned(),
        note: "120 GPU-hours".to_owned(),
        asked_by: name("bob"),
        asked_at: AT,
        status: ApprovalStatus::Rejected,
        decision: Some(DecisionView {
            by: Some("ada".to_owned()),
            at: AT,
            reason: "too much".to_owned(),
        }),
    }
}

pub(super) fn approvals() -> Vec<Sample> {
    let (org, approval) = (ORG, ApprovalRef::Job(JobNumber(42)));
    let request = |name, request| Sample::new(name, &Request::Approval(request));
    let answer = |name, answer| Sample::new(name, &Answer::Approval(answer));
    let rule = MachineRule {
        number: 3,
        role: Some(Role::Admin),
        addresses: Some("10.0.0.0/8".parse().unwrap()),
        expires_at: Some(AT),
        created_by: name("ada"),
        created_at: AT,
    };
    let rules = ApprovalRules {
        job: JobRule {
            gpu_hours_over: Some(100),
        },
        machines: vec![rule],
    };
    vec![
        request(
            "approval_list",
            ApprovalRequest::List {
                org,
                all: true,
                after: None,
            },
        ),
        request(
            "approval_show",
            ApprovalRequest::Show {
                org,
                approval: approval.clone(),
            },
        ),
        request(
            "approval_decide",
            ApprovalRequest::Decide {
                org,
                approval,
                verdict: Verdict::Reject,
                reason: "too much".to_owned(),
            },
        ),
        request("approval_rules", ApprovalRequest::ShowRules { org }),
        request(
            "approval_threshold",
            ApprovalRequest::SetJobThreshold {
                org,
                gpu_hours_over: Some(100),
            },
        ),
        request(
            "approval_add_rule",
            ApprovalRequest::AddMachineRule {
                org,
                role: Some(Role::Admin),
                addresses: Some("10.0.0.0/8".parse().unwrap()),
                ttl: Some(Span::from_secs(86_400)),
            },
        ),
        request(
            "approval_remove_rule",
            ApprovalRequest::RemoveMachineRule { org, number: 3 },
        ),
        answer("approvals", ApprovalAnswer::List(last(approval_view()))),
        answer("approval", ApprovalAnswer::One(Box::new(approval_view()))),
        answer("approval_rules", ApprovalAnswer::Rules(rules)),
    ]
}
