//! Who may do what to a dataset: of no project, by whose it is and how it is shared; of one, by the project's table.

use common::{
    id::UserId,
    status::{Role, Visibility},
};

use super::{
    Action, always, owns,
    project::{self, ProjectAction},
};
use crate::{
    rejection::Rejection,
    state::{
        State,
        dataset::{Dataset, DatasetVersion},
    },
};

fn owns_dataset(state: &State, user: UserId, dataset: &Dataset) -> bool {
    owns(
        state,
        user,
        dataset.org,
        dataset.owner,
        dataset.created_at(),
    )
}

/// Returns whether its maker has left, so that it is the org's.
pub(crate) fn has_passed(state: &State, dataset: &Dataset) -> bool {
    !owns_dataset(state, dataset.owner, dataset)
}

/// Returns whether the user may see the dataset and use it. What belongs to a project is the project's, not its
/// maker's.
pub(crate) fn may_read_dataset(state: &State, user: UserId, role: Role, dataset: &Dataset) -> bool {
    if let Some(project) = dataset.project {
        return project::may(state, project, user, ProjectAction::SeeData);
    }
    let shared = dataset.visibility != Visibility::Personal;
    owns_dataset(state, user, dataset)
        || (shared && always(role, Action::ReadSharedDataset))
        || always(role, Action::ReadAnyDataset)
}

pub(crate) fn may_extend_dataset(
    state: &State,
    user: UserId,
    role: Role,
    dataset: &Dataset,
) -> bool {
    if let Some(project) = dataset.project {
        return project::may(state, project, user, ProjectAction::AddData);
    }
    dataset.visibility == Visibility::OrgWrite || may_change_dataset(state, user, role, dataset)
}

pub(crate) fn may_change_dataset(
    state: &State,
    user: UserId,
    role: Role,
    dataset: &Dataset,
) -> bool {
    let Some(project) = dataset.project else {
        return owns_dataset(state, user, dataset) || always(role, Action::ChangeAnyDataset);
    };
    let action = if owns_dataset(state, user, dataset) {
        ProjectAction::AddData
    } else {
        ProjectAction::ChangeData
    };
    project::may(state, project, user, action)
}

/// Checks that the user may change what is said of the dataset.
///
/// # Errors
/// Their role or their access is too low.
pub(crate) fn check_change(
    state: &State,
    user: UserId,
    role: Role,
    dataset: &Dataset,
) -> Result<(), Rejection> {
    if may_change_dataset(state, user, role, dataset) {
        return Ok(());
    }
    match dataset.project {
        Some(project) => project::check(state, project, user, ProjectAction::ChangeData),
        None => Err(not_theirs(role)),
    }
}

/// Checks that the user may take the dataset away from where it is.
///
/// # Errors
/// Their role or their access is too low.
pub(crate) fn check_move(
    state: &State,
    user: UserId,
    role: Role,
    dataset: &Dataset,
) -> Result<(), Rejection> {
    let Some(home) = dataset.project else {
        return check_change(state, user, role, dataset);
    };
    let action = if owns_dataset(state, user, dataset) {
        ProjectAction::MoveOut
    } else {
        ProjectAction::MoveOutOthers
    };
    project::check(state, home, user, action)
}

/// Checks that the user may delete the dataset, or one version of it. Of one that others may write, whoever added a
/// version may delete that; what belongs to a project is the project's, whoever made it.
///
/// # Errors
/// Their role or their access is too low.
pub(crate) fn check_delete(
    state: &State,
    user: UserId,
    role: Role,
    dataset: &Dataset,
    version: Option<&DatasetVersion>,
) -> Result<(), Rejection> {
    if let Some(project) = dataset.project {
        return project::check(state, project, user, ProjectAction::DeleteData);
    }
    let writes =
        dataset.visibility == Visibility::OrgWrite && always(role, Action::ReadSharedDataset);
    let made = version.is_some_and(|version| {
        owns(
            state,
            user,
            dataset.org,
            version.created_by,
            version.created_at,
        )
    });
    if may_change_dataset(state, user, role, dataset) || (writes && made) {
        Ok(())
    } else {
        Err(not_theirs(role))
    }
}

const fn not_theirs(role: Role) -> Rejection {
    Rejection::NotAllowed {
        action: Action::ChangeAnyDataset,
        role,
    }
}
