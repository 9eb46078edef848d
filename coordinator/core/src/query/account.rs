//! A user's own account, as they see it.

use common::{
    api::account::{AccountAnswer, AccountRequest, AccountView, DeviceView, MemberRef},
    id::UserId,
    problem::Problem,
    time::Timestamp,
};

use super::{Presence, most, not_a_question};
use crate::{
    decide::device::{devices, whose},
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
        AccountRequest::ChangeProfile { .. } | AccountRequest::RevokeDevice { .. } => {
            Err(not_a_question())
        }
    }
}

fn show(state: &State, user: UserId) -> Result<AccountView, Rejection> {
    let row = state.users.get(&user);
    let row = row.ok_or(Rejection::CertificateUnknown)?;
    Ok(AccountView {
        user,
        handle: row.handle.clone(),
        display_name: row.profile.display_name.clone(),
        email: row.profile.email.clone(),
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
    let signed_in =
        devices(state, whose(state, user, of)?).filter(|(_, row)| row.is_signed_in(now));
    let views = signed_in.map(|(id, row)| DeviceView {
        id,
        name: row.name.clone(),
        signed_in_at: row.signed_in_at,
        renewed_at: row.renewed_at,
        expires_at: row.expires_at,
        current: current == Some(id),
    });
    let mut views: Vec<DeviceView> = views.take(most(u32::MAX)).collect();
    views.sort_by_key(|view| std::cmp::Reverse(view.signed_in_at));
    Ok(views)
}
