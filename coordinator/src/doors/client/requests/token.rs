//! API tokens: made here, shown once, kept as digests.

use common::{
    api::{
        Answer, Request,
        account::Proof,
        token::{CreatedToken, TokenAnswer, TokenRequest},
    },
    id::{TokenId, UserId},
    problem::Problem,
    token::TokenSecret,
};
use coordinator_core::{Body, command::token::TokenCommand};

use super::super::Member;
use crate::mint;

pub(super) async fn answer(
    member: &Member,
    user: UserId,
    request: TokenRequest,
) -> Result<Answer, Problem> {
    let desk = &*member.desk;
    let actor = member.actor;
    match request {
        question @ TokenRequest::List { .. } => super::ask(member, user, &Request::Token(question)),
        TokenRequest::Revoke { org, token } => {
            let command = TokenCommand::Revoke { org, named: token };
            desk.engine.ask(actor, Body::Token(command)).await?;
            Ok(Answer::Done)
        }
        TokenRequest::Create(wish) => {
            let proof = match wish.code {
                Some(code) => Some(desk.prove(user, Proof::Code(code)).await?),
                None => None,
            };
            let secret = TokenSecret::new(mint::random());
            let now = desk.now();
            let token = TokenId::new(mint::uuid(now));
            let command = TokenCommand::Create {
                token,
                org: wish.org,
                name: wish.name,
                scope: wish.scope,
                ttl: wish.ttl,
                digest: secret.digest(),
                proof,
            };
            desk.engine.ask(actor, Body::Token(command)).await?;
            Ok(Answer::Token(TokenAnswer::Created(CreatedToken {
                id: token,
                secret: secret.as_str().to_owned(),
                expires_at: now.saturating_add(wish.ttl.as_duration()),
                fingerprint: desk.authority.fingerprint(),
            })))
        }
    }
}
