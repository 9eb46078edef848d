//! What is said of a dataset, and where it belongs.

use common::{
    api::data::{MoveDataset, SetDataset},
    id::UserId,
};

use super::{find, is_plain};
use crate::{
    decide::project::name_of,
    event::{
        Event,
        dataset::{DatasetEvent, DatasetSettings},
    },
    policy::{
        self,
        project::{self, ProjectAction},
    },
    rejection::{Rejection, project::ProjectRejection},
    state::State,
};

pub(super) fn set(
    state: &State,
    user: UserId,
    request: &SetDataset,
) -> Result<Vec<Event>, Rejection> {
    let (member, id, dataset) = find(state, user, request.org, &request.name)?;
    policy::check_change(state, user, member.role, dataset)?;
    let text = request.description.as_ref();
    if text.is_some_and(|text| !is_plain(text)) {
        return Err(Rejection::DatasetText);
    }
    if let Some(name) = name_of(state, dataset.project).filter(|_| request.visibility.is_some()) {
        return Err(ProjectRejection::OwnVisibility { name }.into());
    }
    let before = DatasetSettings {
        description: dataset.description.clone(),
        visibility: dataset.visibility,
    };
    let after = DatasetSettings {
        description: text.unwrap_or(&before.description).clone(),
        visibility: request.visibility.unwrap_or(before.visibility),
    };
    let change = (before != after).then_some(DatasetEvent::DatasetChanged {
        dataset: id,
        org: request.org,
        name: request.name.clone(),
        before,
        after,
    });
    Ok(change.map(Event::Dataset).into_iter().collect())
}

/// Takes a right on both sides: on what it leaves as much as on what it comes to.
pub(super) fn relocate(
    state: &State,
    user: UserId,
    request: &MoveDataset,
) -> Result<Vec<Event>, Rejection> {
    let org = request.org;
    let (member, id, dataset) = find(state, user, org, &request.name)?;
    let target = match &request.project {
        None => None,
        Some(name) => Some(project::find(state, user, org, name)?.id),
    };
    if target == dataset.project {
        return Ok(Vec::new());
    }
    policy::check_move(state, user, member.role, dataset)?;
    if let Some(name) = &request.project {
        project::permit(state, user, org, name, ProjectAction::AddData)?;
    }
    Ok(vec![Event::Dataset(DatasetEvent::DatasetMoved {
        dataset: id,
        org,
        name: request.name.clone(),
        project: target,
        before: name_of(state, dataset.project),
        after: request.project.clone(),
    })])
}
