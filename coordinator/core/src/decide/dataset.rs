//! Datasets: new ones, new versions; what is said of them, where they belong, their end.

pub(crate) mod deletion;
mod restoring;
mod settings;
pub(crate) mod storage;
pub(crate) mod warm;

use common::{
    api::data::AddDatasetVersion,
    dataset::MAX_DESCRIPTION_BYTES,
    id::{DatasetId, OrgId, ProjectId, UserId},
    name::Name,
    org::settings::is_obeyed,
    status::Visibility,
    time::Timestamp,
    units::Bytes,
};

use crate::{
    command::dataset::DatasetCommand,
    event::{
        Event,
        dataset::{DatasetEvent, DatasetSettings},
    },
    policy::{self, Action, permit, project::ProjectAction},
    rejection::{DatasetRejection, Rejection, project::ProjectRejection},
    state::{State, dataset::Dataset, org::Member},
};

/// Most versions of one dataset.
const MAX_VERSIONS: u32 = 10_000;

pub(super) fn decide(
    state: &State,
    at: Timestamp,
    user: UserId,
    command: &DatasetCommand,
) -> Result<Vec<Event>, Rejection> {
    match command {
        DatasetCommand::Delete(request) => deletion::delete(state, at, user, request),
        DatasetCommand::Restore(request) => restoring::restore(state, at, user, request),
        DatasetCommand::Set(request) => settings::set(state, user, request),
        DatasetCommand::Move(request) => settings::relocate(state, user, request),
        DatasetCommand::Warm(request) => warm::begin(state, at, user, request),
    }
}

/// Returns the dataset of this name, if the user may read it, and their membership.
pub(crate) fn find<'a>(
    state: &'a State,
    user: UserId,
    org: OrgId,
    name: &Name,
) -> Result<(Member, DatasetId, &'a Dataset), Rejection> {
    let member = policy::member(state, org, user)?;
    let names = state.index.dataset_names.get(&org);
    let found = names.and_then(|names| {
        let id = names.get(name)?;
        Some((member, *id, state.datasets.get(id)?))
    });
    found
        .filter(|(_, _, row)| policy::may_read_dataset(state, user, member.role, row))
        .ok_or_else(|| missing(state, user, org, name))
}

/// Returns why there is no dataset of this name for the user.
pub(crate) fn missing(state: &State, user: UserId, org: OrgId, name: &Name) -> Rejection {
    let deleted = find_deleted(state, user, org, name).ok();
    let last = deleted.and_then(|mut deleted| deleted.next()?.1.deleted);
    let name = name.clone();
    match last {
        Some(deleted) => DatasetRejection::Deleted {
            name,
            until: deleted.until,
        }
        .into(),
        None => Rejection::NoSuchDataset { name },
    }
}

/// Returns the deleted datasets of this name that the user may read, the one that was deleted last first.
pub(crate) fn find_deleted<'a>(
    state: &'a State,
    user: UserId,
    org: OrgId,
    name: &Name,
) -> Result<impl Iterator<Item = (DatasetId, &'a Dataset)> + use<'a>, Rejection> {
    let role = policy::member(state, org, user)?.role;
    let deleted = state.index.deleted_names.get(&(org, name.clone()));
    let rows = deleted.into_iter().flatten().rev();
    let rows = rows.filter_map(|(_, id)| Some((*id, state.datasets.get(id)?)));
    Ok(rows.filter(move |(_, row)| policy::may_read_dataset(state, user, role, row)))
}

pub(super) fn add_version(
    state: &State,
    at: Timestamp,
    user: UserId,
    fresh: DatasetId,
    request: &AddDatasetVersion,
    bytes: Bytes,
    files: u64,
) -> Result<Vec<Event>, Rejection> {
    let member = permit(state, request.org, user, Action::AddDataset)?;
    if request
        .description
        .as_ref()
        .is_some_and(|text| !is_plain(text))
    {
        return Err(Rejection::DatasetText);
    }
    let names = state.index.dataset_names.get(&request.org);
    let known = names.and_then(|names| {
        let id = names.get(&request.name)?;
        Some((*id, state.datasets.get(id)?))
    });
    let Some((id, dataset)) = known else {
        let org = state.orgs.get(&request.org).ok_or(Rejection::NoSuchOrg)?;
        let project = home(state, user, request.org, request.project.as_ref())?;
        if let Some(name) = request
            .project
            .clone()
            .filter(|_| request.visibility.is_some())
        {
            return Err(ProjectRejection::OwnVisibility { name }.into());
        }
        let visibility = match project {
            Some(_) => Visibility::Personal,
            None => request
                .visibility
                .unwrap_or(org.settings.default_visibility),
        };
        storage::check(state, request.org, Some(request.tree), bytes)?;
        return Ok(vec![Event::DatasetVersionAdded {
            dataset: fresh,
            org: request.org,
            name: request.name.clone(),
            project,
            user,
            version: first(state, request),
            tree: request.tree,
            bytes,
            files,
            description: request.description.clone().unwrap_or_default(),
            visibility,
            at,
        }]);
    };

    if !policy::may_read_dataset(state, user, member.role, dataset) {
        // Says no more than that the name cannot be had.
        return Err(Rejection::NameTaken {
            noun: "dataset",
            name: request.name.clone(),
        });
    }
    check_home(state, user, dataset, request)?;
    let description = request.description.clone();
    let description = description.unwrap_or_else(|| dataset.description.clone());
    let visibility = request.visibility.unwrap_or(dataset.visibility);
    let changed = description != dataset.description || visibility != dataset.visibility;
    let may_change = policy::may_change_dataset(state, user, member.role, dataset);
    if !policy::may_extend_dataset(state, user, member.role, dataset) || (changed && !may_change) {
        return Err(Rejection::NotAllowed {
            action: Action::ChangeAnyDataset,
            role: member.role,
        });
    }
    let newest = dataset.version(None).map(|(_, version)| version.tree);
    if newest == Some(request.tree) {
        let change = changed.then_some(DatasetEvent::DatasetChanged {
            dataset: id,
            org: request.org,
            name: request.name.clone(),
            before: DatasetSettings {
                description: dataset.description.clone(),
                visibility: dataset.visibility,
            },
            after: DatasetSettings {
                description,
                visibility,
            },
        });
        return Ok(change.map(Event::Dataset).into_iter().collect());
    }
    if dataset.versions.len() >= MAX_VERSIONS as usize {
        return Err(Rejection::TooManyVersions {
            name: request.name.clone(),
            most: MAX_VERSIONS,
        });
    }
    storage::check(state, request.org, Some(request.tree), bytes)?;
    Ok(vec![Event::DatasetVersionAdded {
        dataset: id,
        org: request.org,
        name: request.name.clone(),
        project: dataset.project,
        user,
        version: dataset.next(),
        tree: request.tree,
        bytes,
        files,
        description,
        visibility,
        at,
    }])
}

/// Returns the number of a new dataset's first version: numbers go on where the last one of its name had left off, so
/// that none ever means other files than it did.
fn first(state: &State, request: &AddDatasetVersion) -> u32 {
    let past = state.past_names.get(&(request.org, request.name.clone()));
    past.map_or(1, |past| past.next)
}

/// Returns the project that a new dataset is to belong to.
fn home(
    state: &State,
    user: UserId,
    org: OrgId,
    project: Option<&Name>,
) -> Result<Option<ProjectId>, Rejection> {
    let Some(name) = project else {
        return Ok(None);
    };
    let seen = policy::project::permit(state, user, org, name, ProjectAction::AddData)?;
    Ok(Some(seen.id))
}

/// Checks that a dataset which is there can have another version where it belongs, and is not asked elsewhere.
fn check_home(
    state: &State,
    user: UserId,
    dataset: &Dataset,
    request: &AddDatasetVersion,
) -> Result<(), Rejection> {
    let home = dataset.project.and_then(|id| state.projects.get(&id));
    let home = home.map(|project| &project.name);
    if request.project.is_some() && request.project.as_ref() != home {
        let dataset = request.name.clone();
        return Err(ProjectRejection::Elsewhere { dataset }.into());
    }
    let Some(name) = home else { return Ok(()) };
    if request.visibility.is_some() {
        return Err(ProjectRejection::OwnVisibility { name: name.clone() }.into());
    }
    policy::project::permit(state, user, request.org, name, ProjectAction::AddData)?;
    Ok(())
}

fn is_plain(text: &str) -> bool {
    let obeyed = |c: char| is_obeyed(c) && c != '\n' && c != '\t';
    text.len() <= MAX_DESCRIPTION_BYTES && !text.chars().any(obeyed)
}
