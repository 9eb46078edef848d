//! Approvals: deciding, and changing what has to be asked.

use common::{
    api::{
        Answer, Request,
        approval::ApprovalRequest::{
            self, AddMachineRule, Decide, RemoveMachineRule, SetJobThreshold,
        },
    },
    id::UserId,
    problem::Problem,
};
use coordinator_core::{Body, command::approval::ApprovalCommand};

use super::{super::Member, ask};

/// Does what is asked for, and answers with how it stands then.
pub(super) async fn serve(
    member: &Member,
    user: UserId,
    request: ApprovalRequest,
) -> Result<Answer, Problem> {
    let (command, then) = match request {
        Decide {
            org,
            approval,
            verdict,
            reason,
        } => {
            let then = ApprovalRequest::Show {
                org,
                approval: approval.clone(),
            };
            let decide = ApprovalCommand::Decide {
                org,
                approval,
                verdict,
                reason,
            };
            (decide, then)
        }
        SetJobThreshold {
            org,
            gpu_hours_over,
        } => {
            let set = ApprovalCommand::SetJobThreshold {
                org,
                gpu_hours_over,
            };
            (set, ApprovalRequest::ShowRules { org })
        }
        AddMachineRule {
            org,
            role,
            addresses,
            ttl,
        } => {
            let add = ApprovalCommand::AddMachineRule {
                org,
                role,
                addresses,
                ttl,
            };
            (add, ApprovalRequest::ShowRules { org })
        }
        RemoveMachineRule { org, number } => {
            let remove = ApprovalCommand::RemoveMachineRule { org, number };
            (remove, ApprovalRequest::ShowRules { org })
        }
        question => return ask(member, user, &Request::Approval(question)),
    };
    let body = Body::Approval(command);
    member.desk.engine.ask(member.actor, body).await?;
    ask(member, user, &Request::Approval(then))
}
