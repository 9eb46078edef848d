//! An org's logo.

use common::{
    id::{OrgId, UserId},
    org::logo::{Logo, Picture},
};

use crate::{
    event::{Event, OrgEvent},
    policy::{Action, permit},
    rejection::{OrgRejection, Rejection},
    state::State,
};

pub(super) fn set(
    state: &State,
    user: UserId,
    org: OrgId,
    picture: &Picture,
) -> Result<Vec<Event>, Rejection> {
    permit(state, org, user, Action::ChangeSettings)?;
    let logo = Logo::new(picture.clone()).map_err(OrgRejection::Setting)?;
    Ok(change(state, org, Some(logo)))
}

pub(super) fn remove(state: &State, user: UserId, org: OrgId) -> Result<Vec<Event>, Rejection> {
    permit(state, org, user, Action::ChangeSettings)?;
    Ok(change(state, org, None))
}

fn change(state: &State, org: OrgId, logo: Option<Logo>) -> Vec<Event> {
    let before = state.logos.get(&org).map(|logo| logo.about);
    let (after, picture) = match logo {
        Some(Logo { about, picture }) => (Some(about), Some(picture)),
        None => (None, None),
    };
    if before == after {
        return Vec::new();
    }
    vec![Event::Org(OrgEvent::OrgLogoChanged {
        org,
        before,
        after,
        picture,
    })]
}
