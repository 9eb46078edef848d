//! A user's own account.

pub(crate) mod proof;

use common::{id::UserId, name::Name, time::Timestamp};

use super::{device, login_link};
use crate::{
    command::AccountCommand,
    event::{AccountEvent, Event, Profile},
    rejection::{AccountRejection, Rejection},
    state::State,
};

pub(super) fn decide(
    state: &State,
    at: Timestamp,
    user: UserId,
    command: &AccountCommand,
) -> Result<Vec<Event>, Rejection> {
    match command {
        AccountCommand::ChangeProfile {
            display_name,
            email,
        } => change_profile(state, user, display_name.as_deref(), email.as_deref()),
        AccountCommand::RevokeDevice { of, device, from } => {
            device::revoke(state, at, user, of.as_ref(), device.as_ref(), *from)
        }
        AccountCommand::RevokeLinks { of } => login_link::revoke(state, at, user, of.as_ref()),
        AccountCommand::SetPassword { hash, proof } => {
            proof::set_password(state, at, user, hash, proof.as_ref())
        }
        AccountCommand::BeginTwoFactor { secret } => {
            proof::begin_two_factor(state, at, user, secret)
        }
        AccountCommand::ConfirmTwoFactor {
            secret,
            step,
            recovery,
        } => proof::confirm_two_factor(state, at, user, secret, *step, recovery),
        AccountCommand::StopTwoFactor { proof } => {
            proof::stop_two_factor(state, at, user, proof.as_ref())
        }
        AccountCommand::NewRecoveryCodes { recovery, proof } => {
            proof::new_recovery_codes(state, at, user, recovery, proof.as_ref())
        }
    }
}

/// What is empty is no more.
fn change_profile(
    state: &State,
    user: UserId,
    display_name: Option<&str>,
    email: Option<&str>,
) -> Result<Vec<Event>, Rejection> {
    let row = state.users.get(&user);
    let before = &row.ok_or(Rejection::CertificateUnknown)?.profile;
    let invalid = AccountRejection::Profile;
    let after = Profile {
        display_name: match display_name {
            None => before.display_name.clone(),
            Some("") => None,
            Some(text) => Some(text.parse().map_err(invalid)?),
        },
        email: match email {
            None => before.email.clone(),
            Some("") => None,
            Some(text) => Some(text.parse().map_err(invalid)?),
        },
    };
    if *before == after {
        return Ok(Vec::new());
    }
    Ok(vec![Event::Account(AccountEvent::ProfileChanged {
        user,
        before: before.clone(),
        after,
    })])
}

/// Checks that somebody new may be called so.
pub(super) fn check_new_handle(state: &State, handle: &Name) -> Result<(), Rejection> {
    if handle.is_reserved_handle() {
        let handle = handle.clone();
        return Err(AccountRejection::ReservedHandle { handle }.into());
    }
    if state.index.handles.contains_key(handle) {
        return Err(Rejection::NameTaken {
            noun: "user",
            name: handle.clone(),
        });
    }
    Ok(())
}
