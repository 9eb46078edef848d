//! Orgs as a whole.

use common::{
    api::{Answer, Request, org::OrgRequest},
    id::UserId,
    problem::Problem,
};
use coordinator_core::{Actor, Body, command::OrgCommand};

use super::ask;
use crate::doors::client::Member;

pub(super) async fn answer(
    member: &Member,
    user: UserId,
    request: OrgRequest,
) -> Result<Answer, Problem> {
    let engine = &member.desk.engine;
    let actor = Actor::User(user);
    match request {
        OrgRequest::ChangeSettings { org, change } => {
            let command = OrgCommand::ChangeSettings { org, change };
            engine.ask(actor, Body::Org(command)).await?;
            ask(
                member,
                user,
                &Request::Org(OrgRequest::ShowSettings { org }),
            )
        }
        OrgRequest::Leave { org } => {
            let command = OrgCommand::Leave { org };
            engine.ask(actor, Body::Org(command)).await?;
            Ok(Answer::Done)
        }
        question @ (OrgRequest::ShowSettings { .. }
        | OrgRequest::PreviewRemoval { .. }
        | OrgRequest::PreviewLeaving { .. }) => ask(member, user, &Request::Org(question)),
    }
}
