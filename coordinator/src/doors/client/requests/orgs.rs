//! Orgs as a whole.

use common::{
    api::{Answer, Request, org::OrgRequest},
    id::{ApprovalId, OrgId, UserId},
    problem::Problem,
};
use coordinator_core::{Body, command::OrgCommand};

use super::{ask, storage};
use crate::{doors::client::Member, mint};

pub(super) async fn answer(
    member: &Member,
    user: UserId,
    request: OrgRequest,
) -> Result<Answer, Problem> {
    let engine = &member.desk.engine;
    let actor = member.actor;
    let command = match request {
        OrgRequest::ChangeSettings { org, change } => {
            if let Some(place) = &change.storage {
                storage::try_place(&member.desk, user, org, place).await?;
            }
            let command = OrgCommand::ChangeSettings { org, change };
            engine.ask(actor, Body::Org(command)).await?;
            let now = Request::Org(OrgRequest::ShowSettings { org });
            return ask(member, user, &now);
        }
        OrgRequest::Create { name } => {
            let org = OrgId::new(mint::uuid(member.desk.now()));
            let who_may = member.desk.who_may_create_orgs;
            let command = OrgCommand::Create { org, name, who_may };
            engine.ask(actor, Body::Org(command)).await?;
            return ask(member, user, &Request::ShowOrg { org });
        }
        OrgRequest::Leave { org } => OrgCommand::Leave { org },
        OrgRequest::Transfer { org, to, typed } => OrgCommand::Transfer { org, to, typed },
        OrgRequest::Delete { org, typed } => {
            // What is in its bucket goes with it, and its keys are gone once it is.
            storage::take_key(&member.desk, user, org).await;
            OrgCommand::Delete { org, typed }
        }
        OrgRequest::RequestRejoin { name } => OrgCommand::RequestRejoin {
            request: ApprovalId::new(mint::uuid(member.desk.now())),
            name,
        },
        OrgRequest::SetLogo { org, picture } => OrgCommand::SetLogo { org, picture },
        OrgRequest::RemoveLogo { org } => OrgCommand::RemoveLogo { org },
        question @ (OrgRequest::ShowSettings { .. }
        | OrgRequest::ShowLogo { .. }
        | OrgRequest::PreviewRemoval { .. }
        | OrgRequest::PreviewLeaving { .. }
        | OrgRequest::PreviewDeletion { .. }) => return ask(member, user, &Request::Org(question)),
    };
    engine.ask(actor, Body::Org(command)).await?;
    Ok(Answer::Done)
}
