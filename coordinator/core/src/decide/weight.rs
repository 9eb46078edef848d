//! Weights of members and projects: how much of the pool they should have beside others.

use common::{
    api::shares::{SetWeight, Weighed},
    id::UserId,
    time::Timestamp,
};

use super::limits::changeable;
use crate::{
    event::{Event, OrgEvent, project::ProjectEvent},
    policy::{self, Action, permit},
    rejection::Rejection,
    state::State,
};

/// As with limits, nobody gives more to somebody whose limits they could not lift. A project's
/// weight is the owner's to say.
pub(super) fn set(
    state: &State,
    at: Timestamp,
    user: UserId,
    request: &SetWeight,
) -> Result<Vec<Event>, Rejection> {
    let SetWeight { org, of, weight } = request;
    let (before, event) = match of {
        Weighed::Member(handle) => {
            let target = changeable(state, user, *org, handle)?;
            let standing = state.standings.get(&(*org, target));
            let before = standing.map(|standing| standing.weight).unwrap_or_default();
            let event = Event::Org(OrgEvent::MemberWeightSet {
                org: *org,
                user: target,
                by: user,
                before,
                after: *weight,
                at,
            });
            (before, event)
        }
        Weighed::Project(name) => {
            // Whoever weighs a project weighs its members, perhaps themselves.
            permit(state, *org, user, Action::WeighProject)?;
            let seen = policy::project::find(state, user, *org, name)?;
            let (id, project) = (seen.id, seen.project);
            let event = Event::Project(ProjectEvent::ProjectWeightSet {
                project: id,
                org: *org,
                by: user,
                before: project.weight,
                after: *weight,
            });
            (project.weight, event)
        }
    };
    Ok((before != *weight).then_some(event).into_iter().collect())
}
