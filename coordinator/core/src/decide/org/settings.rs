//! What an org says of itself and how far its roles reach.

use common::{
    id::{OrgId, UserId},
    org::settings::SettingsChange,
};

use crate::{
    decide::account::proof::has_two_factor,
    event::{Event, OrgEvent},
    policy::{Action, permit},
    rejection::{AccountRejection, OrgRejection, Rejection},
    state::State,
};

pub(super) fn change(
    state: &State,
    user: UserId,
    org: OrgId,
    change: &SettingsChange,
) -> Result<Vec<Event>, Rejection> {
    permit(state, org, user, Action::ChangeSettings)?;
    let before = &state.orgs.get(&org).ok_or(Rejection::NoSuchOrg)?.settings;
    let after = change.made_to(before).map_err(OrgRejection::Setting)?;
    // With these an admin could take the org from its owner, lock others out of it, or take all of its data away.
    if after.admins_may_manage_admins != before.admins_may_manage_admins
        || after.require_two_factor != before.require_two_factor
        || after.storage != before.storage
    {
        permit(state, org, user, Action::ChangeSafetySettings)?;
    }
    if after.require_two_factor && !before.require_two_factor && !has_two_factor(state, user) {
        return Err(AccountRejection::TwoFactorFirst.into());
    }
    if after == *before {
        return Ok(Vec::new());
    }
    let changed = OrgEvent::OrgSettingsChanged {
        org,
        before: Box::new(before.clone()),
        after: Box::new(after),
    };
    Ok(vec![Event::Org(changed)])
}
