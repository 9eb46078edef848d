//! Showing who one is: passwords, codes of two-factor, recovery codes. The shell says what it found to be right; here
//! it is used up, and tries are counted.

use common::{
    id::{CodeDigest, UserId},
    seal::Sealed,
    time::Timestamp,
};

use crate::{
    command::{Proof, account::PasswordHash},
    event::{
        AccountEvent, Event,
        account::{ProofKind, Used},
    },
    rejection::{AccountRejection, Rejection},
    state::{
        State,
        account::{Credentials, TwoFactor},
    },
};

/// Most recovery codes of one user.
const MAX_RECOVERY_CODES: usize = 16;

/// Counts a try before it is looked at.
pub(in crate::decide) fn begin(
    state: &State,
    at: Timestamp,
    user: UserId,
) -> Result<Vec<Event>, Rejection> {
    let tries = credentials(state, user).map(|row| row.tries);
    let until = tries.map(|tries| tries.next_at());
    if let Some(until) = until.filter(|until| at < *until) {
        return Err(AccountRejection::MustWait { until }.into());
    }
    let tried = AccountEvent::ProofTried { user, at };
    Ok(vec![Event::Account(tried)])
}

/// Checks what shows that it is the user, where there is anything that could: the password or a code.
pub(super) fn any(
    state: &State,
    at: Timestamp,
    user: UserId,
    proof: Option<&Proof>,
) -> Result<Vec<Event>, Rejection> {
    let row = credentials(state, user);
    if row.is_none_or(|row| row.password.is_none() && row.two_factor.is_none()) {
        return Ok(Vec::new());
    }
    let proof = proof.ok_or(AccountRejection::ProofNeeded)?;
    Ok(vec![accept(state, at, user, proof)?])
}

/// Checks the second factor where the user has one: no password will do.
pub(in crate::decide) fn second_factor(
    state: &State,
    at: Timestamp,
    user: UserId,
    proof: Option<&Proof>,
) -> Result<Vec<Event>, Rejection> {
    if !has_two_factor(state, user) {
        return Ok(Vec::new());
    }
    match proof {
        None | Some(Proof::Password(_)) => Err(AccountRejection::TwoFactorNeeded.into()),
        Some(proof) => Ok(vec![accept(state, at, user, proof)?]),
    }
}

/// Returns whether the user has a second factor.
pub(crate) fn has_two_factor(state: &State, user: UserId) -> bool {
    credentials(state, user).is_some_and(|row| row.two_factor.is_some())
}

fn accept(
    state: &State,
    at: Timestamp,
    user: UserId,
    proof: &Proof,
) -> Result<Event, AccountRejection> {
    let row = credentials(state, user);
    let two_factor = row.and_then(|row| row.two_factor.as_ref());
    let (with, used) = match proof {
        Proof::Password(hash) => {
            let now = row.and_then(|row| row.password.as_ref());
            if now != Some(hash) {
                return Err(AccountRejection::WrongPassword);
            }
            (ProofKind::Password, None)
        }
        Proof::Code { secret, step } => {
            let two_factor = two_factor.filter(|two_factor| two_factor.secret == *secret);
            let two_factor = two_factor.ok_or(AccountRejection::WrongCode)?;
            if *step <= two_factor.last_step {
                return Err(AccountRejection::CodeReused);
            }
            (ProofKind::Code, Some(Used::Step(*step)))
        }
        Proof::Recovery(code) => {
            let known = |two_factor: &TwoFactor| two_factor.recovery.contains(code);
            if !two_factor.is_some_and(known) {
                return Err(AccountRejection::WrongCode);
            }
            (ProofKind::RecoveryCode, Some(Used::Recovery(*code)))
        }
    };
    Ok(Event::Account(AccountEvent::ProofAccepted {
        user,
        with,
        used,
        at,
    }))
}

pub(super) fn set_password(
    state: &State,
    at: Timestamp,
    user: UserId,
    hash: &PasswordHash,
    proof: Option<&Proof>,
) -> Result<Vec<Event>, Rejection> {
    let mut events = any(state, at, user, proof)?;
    events.push(Event::Account(AccountEvent::PasswordSet {
        user,
        hash: hash.clone(),
        at,
    }));
    Ok(events)
}

pub(super) fn begin_two_factor(
    state: &State,
    at: Timestamp,
    user: UserId,
    secret: &Sealed,
) -> Result<Vec<Event>, Rejection> {
    if has_two_factor(state, user) {
        return Err(AccountRejection::TwoFactorOn.into());
    }
    Ok(vec![Event::Account(AccountEvent::TwoFactorBegun {
        user,
        secret: secret.clone(),
        at,
    })])
}

pub(super) fn confirm_two_factor(
    state: &State,
    at: Timestamp,
    user: UserId,
    secret: &Sealed,
    step: u64,
    recovery: &[CodeDigest],
) -> Result<Vec<Event>, Rejection> {
    if has_two_factor(state, user) {
        return Err(AccountRejection::TwoFactorOn.into());
    }
    let begun = credentials(state, user).and_then(|row| row.begun.as_ref());
    if begun != Some(secret) {
        return Err(AccountRejection::NotBegun.into());
    }
    check_recovery(recovery)?;
    Ok(vec![Event::Account(AccountEvent::TwoFactorTurnedOn {
        user,
        secret: secret.clone(),
        step,
        recovery: recovery.to_vec(),
        at,
    })])
}

pub(super) fn stop_two_factor(
    state: &State,
    at: Timestamp,
    user: UserId,
    proof: Option<&Proof>,
) -> Result<Vec<Event>, Rejection> {
    if !has_two_factor(state, user) {
        return Err(AccountRejection::TwoFactorOff.into());
    }
    let mut events = any(state, at, user, proof)?;
    events.push(Event::Account(AccountEvent::TwoFactorTurnedOff {
        user,
        at,
    }));
    Ok(events)
}

pub(super) fn new_recovery_codes(
    state: &State,
    at: Timestamp,
    user: UserId,
    recovery: &[CodeDigest],
    proof: Option<&Proof>,
) -> Result<Vec<Event>, Rejection> {
    if !has_two_factor(state, user) {
        return Err(AccountRejection::TwoFactorOff.into());
    }
    check_recovery(recovery)?;
    let mut events = any(state, at, user, proof)?;
    events.push(Event::Account(AccountEvent::RecoveryCodesMade {
        user,
        recovery: recovery.to_vec(),
        at,
    }));
    Ok(events)
}

fn check_recovery(recovery: &[CodeDigest]) -> Result<(), AccountRejection> {
    if recovery.is_empty() || recovery.len() > MAX_RECOVERY_CODES {
        return Err(AccountRejection::RecoveryCodes);
    }
    Ok(())
}

fn credentials(state: &State, user: UserId) -> Option<&Credentials> {
    state.credentials.get(&user)
}
