//! API tokens: making and revoking them, and signing in with one.

use std::time::Duration;

use common::{
    id::{CodeDigest, OrgId, TokenId, UserId},
    name::Name,
    status::TokenScope,
    time::Timestamp,
    token::{MAX_TOKEN_TTL, TokenStatus},
};

use super::{account::proof, device, enrolment};
use crate::{
    command::token::{ExchangeToken, TokenCommand},
    event::{Event, Holder, token::TokenEvent},
    policy,
    rejection::{AccountRejection, Rejection},
    state::{State, account::Token},
};

/// Most good tokens of one user in one org.
const MAX_TOKENS: usize = 100;
/// How long a token that is good for nothing is still listed, and told why it is refused.
const REMEMBERED: Duration = Duration::from_secs(90 * 86_400);
/// Most tokens that are forgotten when one is made.
const FORGOTTEN_AT_ONCE: usize = 16;

pub(super) fn decide(
    state: &State,
    at: Timestamp,
    user: UserId,
    command: &TokenCommand,
) -> Result<Vec<Event>, Rejection> {
    match command {
        TokenCommand::Create { .. } => create(state, at, user, command),
        TokenCommand::Revoke { org, named } => {
            policy::membership(state, *org, user)?;
            let (id, row) = find(state, at, *org, user, named)?;
            Ok(revocation(state, at, id, row))
        }
    }
}

fn create(
    state: &State,
    at: Timestamp,
    user: UserId,
    command: &TokenCommand,
) -> Result<Vec<Event>, Rejection> {
    let TokenCommand::Create {
        token,
        org,
        name,
        scope,
        ttl,
        digest,
        proof,
    } = command
    else {
        return Err(Rejection::WrongCaller);
    };
    policy::member(state, *org, user)?;
    if ttl.as_duration().is_zero() || *ttl > MAX_TOKEN_TTL {
        return Err(AccountRejection::TokenLife.into());
    }
    let good = || tokens(state, *org, user).filter(|(_, row)| row.status(at) == TokenStatus::Good);
    if good().any(|(_, row)| row.name == *name) {
        return Err(Rejection::NameTaken {
            noun: "token",
            name: name.clone(),
        });
    }
    if good().count() >= MAX_TOKENS {
        return Err(AccountRejection::TooManyTokens { most: MAX_TOKENS }.into());
    }
    if state.tokens.contains_key(token) || state.index.token_digests.contains_key(digest) {
        return Err(AccountRejection::TokenUnknown.into());
    }
    let mut events = match scope {
        TokenScope::Admin => proof::second_factor(state, at, user, proof.as_ref())?,
        TokenScope::Read | TokenScope::Submit => Vec::new(),
    };
    events.extend(forgotten(state, at, *org, user));
    events.push(Event::Token(TokenEvent::TokenCreated {
        token: *token,
        org: *org,
        user,
        name: name.clone(),
        scope: *scope,
        digest: *digest,
        at,
        expires_at: at.saturating_add(ttl.as_duration()),
    }));
    Ok(events)
}

/// Forgets tokens that nothing refers to any more.
fn forgotten(state: &State, at: Timestamp, org: OrgId, user: UserId) -> Vec<Event> {
    let in_use = |id: TokenId| device::devices(state, user).any(|(_, row)| row.token == Some(id));
    let ended = |row: &Token| row.revoked_at.unwrap_or(row.expires_at).min(row.expires_at);
    tokens(state, org, user)
        .filter(|(id, row)| at.since(ended(row)) > REMEMBERED && !in_use(*id))
        .take(FORGOTTEN_AT_ONCE)
        .map(|(token, _)| Event::Token(TokenEvent::TokenForgotten { token, org }))
        .collect()
}

/// A program signs in with a token.
pub(super) fn exchange(
    state: &State,
    at: Timestamp,
    command: &ExchangeToken,
) -> Result<Vec<Event>, Rejection> {
    let ExchangeToken {
        digest,
        sign_in,
        certificate,
    } = command;
    let (id, row) = good(state, at, *digest)?;
    policy::member(state, row.org, row.user)?;
    if certificate.expires_at > row.expires_at {
        return Err(AccountRejection::TokenExpired { at: row.expires_at }.into());
    }
    let means = device::Means {
        token: Some(id),
        bound: None,
    };
    let (device, signed_in) =
        device::sign_in(state, at, row.user, certificate.key, sign_in, means)?;
    let holder = Holder::User(row.user);
    let issued = enrolment::issued(state, holder, Some(device), certificate, at)?;
    let used = Event::Token(TokenEvent::TokenUsed {
        token: id,
        org: row.org,
        at,
    });
    Ok(signed_in.into_iter().chain([issued, used]).collect())
}

/// Returns the token of this digest, if it is good.
pub(crate) fn good(
    state: &State,
    now: Timestamp,
    digest: CodeDigest,
) -> Result<(TokenId, &Token), AccountRejection> {
    let found = state.index.token_digests.get(&digest);
    let id = *found.ok_or(AccountRejection::TokenUnknown)?;
    Ok((id, check(state, now, id)?))
}

/// Returns the token, if it is good.
pub(crate) fn check(
    state: &State,
    now: Timestamp,
    id: TokenId,
) -> Result<&Token, AccountRejection> {
    let row = state.tokens.get(&id);
    let row = row.ok_or(AccountRejection::TokenUnknown)?;
    check_row(row, now)?;
    Ok(row)
}

pub(crate) fn check_row(row: &Token, now: Timestamp) -> Result<(), AccountRejection> {
    match row.status(now) {
        TokenStatus::Good => Ok(()),
        TokenStatus::Revoked => Err(AccountRejection::TokenRevoked),
        TokenStatus::Expired => Err(AccountRejection::TokenExpired { at: row.expires_at }),
    }
}

/// Revokes every token of the user for the org, and all that was signed in with one.
pub(crate) fn revoke_all(state: &State, at: Timestamp, org: OrgId, user: UserId) -> Vec<Event> {
    tokens(state, org, user)
        .flat_map(|(id, row)| revocation(state, at, id, row))
        .collect()
}

fn revocation(state: &State, at: Timestamp, id: TokenId, row: &Token) -> Vec<Event> {
    if row.revoked_at.is_some() {
        return Vec::new();
    }
    let signed_in = device::devices(state, row.user)
        .filter(|(_, device)| device.token == Some(id) && device.revoked_at.is_none());
    let mut events: Vec<Event> = signed_in
        .flat_map(|(device, _)| device::revocation(state, at, row.user, device))
        .collect();
    events.push(Event::Token(TokenEvent::TokenRevoked {
        token: id,
        org: row.org,
        at,
    }));
    events
}

/// Returns the user's token of this name that is good, or of this id as it is listed.
fn find<'a>(
    state: &'a State,
    now: Timestamp,
    org: OrgId,
    user: UserId,
    named: &Name,
) -> Result<(TokenId, &'a Token), AccountRejection> {
    let named_so =
        |(_, row): &(TokenId, &Token)| row.name == *named && row.status(now) == TokenStatus::Good;
    let by_name = tokens(state, org, user).find(named_so);
    let by_id = || tokens(state, org, user).find(|(id, _)| id.to_string() == named.as_str());
    by_name
        .or_else(by_id)
        .ok_or_else(|| AccountRejection::NoSuchToken {
            name: named.clone(),
        })
}

/// Returns the user's tokens for the org, oldest first.
fn tokens(state: &State, org: OrgId, user: UserId) -> impl Iterator<Item = (TokenId, &Token)> {
    let ids = state.index.tokens.get(&(org, user));
    let ids = ids.into_iter().flatten();
    ids.filter_map(|id| Some((*id, state.tokens.get(id)?)))
}
