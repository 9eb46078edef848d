//! A user's own account, as they see it.

use common::{
    api::{
        MAX_ROWS,
        account::{
            AccountAnswer, AccountRequest, AccountView, DeviceView, MemberRef, TwoFactorView,
        },
        page::Page,
        token::{TokenAnswer, TokenRequest},
    },
    id::{OrgId, TokenId, UserId},
    name::Name,
    problem::Problem,
    seal::Sealed,
    time::Timestamp,
    token::TokenView,
};

use super::{
    Presence, count, not_a_question,
    page::{before, page},
};
use crate::{
    command::account::PasswordHash,
    decide::device::{MAX_DEVICES, devices, whose},
    policy::{self, Action},
    rejection::Rejection,
    state::State,
};

pub(super) fn answer(
    state: &State,
    presence: &Presence<'_>,
    now: Timestamp,
    user: UserId,
    request: &AccountRequest,
) -> Result<AccountAnswer, Problem> {
    match request {
        AccountRequest::Show => Ok(AccountAnswer::Account(show(state, user)?)),
        AccountRequest::ListDevices { of } => {
            let devices = list(state, presence, now, user, of.as_ref())?;
            Ok(AccountAnswer::Devices(devices))
        }
        _ => Err(not_a_question()),
    }
}

fn show(state: &State, user: UserId) -> Result<AccountView, Rejection> {
    let row = state.users.get(&user);
    let row = row.ok_or(Rejection::CertificateUnknown)?;
    let credentials = state.credentials.get(&user);
    let two_factor = credentials.and_then(|row| row.two_factor.as_ref());
    Ok(AccountView {
        user,
        handle: row.handle.clone(),
        display_name: row.profile.display_name.clone(),
        email: row.profile.email.clone(),
        has_password: credentials.is_some_and(|row| row.password.is_some()),
        two_factor: two_factor.map(|two_factor| TwoFactorView {
            since: two_factor.since,
            recovery_codes_left: count(two_factor.recovery.len()),
        }),
    })
}

/// Newest sign-in first.
fn list(
    state: &State,
    presence: &Presence<'_>,
    now: Timestamp,
    user: UserId,
    of: Option<&MemberRef>,
) -> Result<Vec<DeviceView>, Rejection> {
    let current = super::enrolment::device(state, presence.certificate);
    let whose = whose(state, user, of, Action::RevokeDevice)?;
    // What signed in with a token ends with the token.
    let signed_in =
        devices(state, whose).filter(|(_, row)| row.token.is_none() && row.is_signed_in(now));
    let views = signed_in.map(|(id, row)| DeviceView {
        id,
        name: row.name.clone(),
        signed_in_at: row.signed_in_at,
        renewed_at: row.renewed_at,
        expires_at: row.expires_at,
        current: current == Some(id),
    });
    let mut views: Vec<DeviceView> = views.take(MAX_DEVICES).collect();
    views.sort_by_key(|view| std::cmp::Reverse(view.signed_in_at));
    Ok(views)
}

/// What the shell needs to look at what a user has typed in. Nothing of it is shown to anybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    pub password: Option<PasswordHash>,
    /// Of two-factor that is on.
    pub secret: Option<Sealed>,
    /// Of two-factor that was begun and not confirmed.
    pub begun: Option<Sealed>,
}

pub fn known(state: &State, user: UserId) -> Known {
    let Some(row) = state.credentials.get(&user) else {
        return Known::default();
    };
    Known {
        password: row.password.clone(),
        secret: row.two_factor.as_ref().map(|on| on.secret.clone()),
        begun: row.begun.clone(),
    }
}

/// Returns the handle that an authenticator app shows.
pub fn handle_of(state: &State, user: UserId) -> Option<Name> {
    state.users.get(&user).map(|row| row.handle.clone())
}

pub(super) fn answer_tokens(
    state: &State,
    now: Timestamp,
    user: UserId,
    request: &TokenRequest,
) -> Result<TokenAnswer, Problem> {
    match request {
        TokenRequest::List { org, after } => {
            let list = list_tokens(state, now, user, *org, after.as_ref())?;
            Ok(TokenAnswer::Tokens(list))
        }
        TokenRequest::Create(_) | TokenRequest::Revoke { .. } => Err(not_a_question()),
    }
}

/// Newest first, those that are good for nothing any more too.
fn list_tokens(
    state: &State,
    now: Timestamp,
    user: UserId,
    org: OrgId,
    last: Option<&TokenId>,
) -> Result<Page<TokenView, TokenId>, Rejection> {
    policy::membership(state, org, user)?;
    let ids = state.index.tokens.get(&(org, user)).into_iter();
    let ids = ids.flat_map(|ids| ids.range::<TokenId, _>(before(last)).rev());
    let view = |id: TokenId| {
        let row = state.tokens.get(&id)?;
        Some(TokenView {
            id,
            name: row.name.clone(),
            org,
            scope: row.scope,
            status: row.status(now),
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
        })
    };
    page(MAX_ROWS, ids.copied(), |id| id, |id| Ok(view(id)))
}
