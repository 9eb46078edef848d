//! Secrets: a value is opened once to look at it, and kept as it was sealed.

use certs::SealError;
use common::{
    api::{
        Answer, Request,
        secret::{SecretAnswer, SecretRequest, SetSecret},
    },
    id::{SecretId, UserId},
    problem::Problem,
    seal::RegistryLogin,
    secret::{LEAST_MASKED_BYTES, MAX_VALUE_BYTES, SecretKind, sealing_context},
};
use coordinator_core::{
    Body, Rejection, command::secret::SecretCommand, query::secret::changed,
    rejection::secret::SecretRejection,
};

use super::{Member, ask};
use crate::{desk::Desk, mint};

pub(super) async fn answer(
    member: &Member,
    user: UserId,
    request: SecretRequest,
) -> Result<Answer, Problem> {
    let desk = &*member.desk;
    let act = |command| desk.engine.ask(member.actor, Body::Secret(command));
    let (org, project, name) = match request {
        SecretRequest::Set(request) => {
            let shown = (request.org, request.project.clone(), request.name.clone());
            let masked = look_at(desk, &request).map_err(Rejection::from)?;
            act(SecretCommand::Set {
                secret: SecretId::new(mint::uuid(desk.now())),
                request,
                masked,
            })
            .await?;
            shown
        }
        SecretRequest::Allow(request) => {
            let shown = (request.org, None, request.name.clone());
            act(SecretCommand::Allow(request)).await?;
            shown
        }
        SecretRequest::Delete { org, project, name } => {
            act(SecretCommand::Delete { org, project, name }).await?;
            return Ok(Answer::Secret(SecretAnswer::Deleted));
        }
        question @ SecretRequest::List { .. } => {
            return ask(member, user, &Request::Secret(question));
        }
    };
    let view = changed(&desk.engine.read(), user, org, project.as_ref(), &name)?;
    Ok(Answer::Secret(SecretAnswer::One(view)))
}

/// Checks that the value can be used once it is needed; returns whether it is long enough to be masked.
fn look_at(desk: &Desk, request: &SetSecret) -> Result<bool, SecretRejection> {
    let context = sealing_context(request.org, request.project.as_ref(), &request.name);
    let opened = desk.sealing_key.unseal(context.as_bytes(), &request.value);
    let value = opened.map_err(|error| match error {
        SealError::TooLong => SecretRejection::ValueTooLong,
        _ => SecretRejection::ValueNotOurs,
    })?;
    if value.is_empty() {
        return Err(SecretRejection::ValueEmpty);
    }
    if value.len() > MAX_VALUE_BYTES {
        return Err(SecretRejection::ValueTooLong);
    }
    match &request.kind {
        SecretKind::Variable => {
            if value.contains(&0) || std::str::from_utf8(&value).is_err() {
                return Err(SecretRejection::ValueNotText);
            }
        }
        SecretKind::Registry { registry } => {
            let login: Option<RegistryLogin> = serde_json::from_slice(&value).ok();
            if login.is_none_or(|login| login.registry != *registry) {
                return Err(SecretRejection::ValueNoLogin);
            }
        }
    }
    Ok(value.len() >= LEAST_MASKED_BYTES)
}
