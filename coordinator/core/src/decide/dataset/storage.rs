//! Room for datasets: what an org keeps, and may keep. Deleted versions count until they go for good.

use common::{
    id::{OrgId, TreeId, UserId},
    name::Name,
    units::Bytes,
};

use super::{find, home};
use crate::{
    policy::{self, Action, permit},
    rejection::{LimitReached, Rejection},
    state::State,
};

/// Refuses what would make the org keep more than it may. The same content counts once; `tree` is `None` while it is
/// not known what comes.
pub(super) fn check(
    state: &State,
    org: OrgId,
    tree: Option<TreeId>,
    bytes: Bytes,
) -> Result<(), Rejection> {
    let row = state.orgs.get(&org).ok_or(Rejection::NoSuchOrg)?;
    let Some(most) = row.limits.storage.datasets else {
        return Ok(());
    };
    let used = state.index.orgs.get(&org);
    let datasets = used.map(|used| &used.datasets);
    let kept = datasets.map_or(Bytes::ZERO, |datasets| datasets.bytes());
    let known = tree.zip(datasets);
    let known = known.is_some_and(|(tree, datasets)| datasets.holds(tree));
    // What is kept already costs nothing, even where the bound was lowered since.
    if known || kept.0.saturating_add(bytes.0) <= most.0 {
        return Ok(());
    }
    let deleted = state.index.deleted_bytes(state, org);
    let deleted = match deleted {
        Bytes::ZERO => String::new(),
        deleted => format!(", {deleted} of it deleted and not yet gone"),
    };
    Err(Rejection::Limit(vec![LimitReached {
        limit: "storage.datasets".to_owned(),
        value: most.to_string(),
        asked: format!("{bytes} more of datasets"),
        current: Some(format!("{kept} kept{deleted}")),
        source: format!("in the limits of org {}", row.name),
    }]))
}

/// Returns whether somebody may add a version of so many bytes to a dataset, as far as it can be told before anything of
/// it has come.
///
/// # Errors
/// It would be refused. What is refused once it is here may pass: what comes, and what becomes of the org meanwhile, is
/// not known yet.
pub(crate) fn room(
    state: &State,
    user: UserId,
    org: OrgId,
    (name, project): (&Name, Option<&Name>),
    bytes: Bytes,
) -> Result<(), Rejection> {
    let member = permit(state, org, user, Action::AddDataset)?;
    let names = state.index.dataset_names.get(&org);
    if !names.is_some_and(|names| names.contains_key(name)) {
        home(state, user, org, project)?;
        return check(state, org, None, bytes);
    }
    let (_, _, row) = find(state, user, org, name).map_err(|_| Rejection::NameTaken {
        noun: "dataset",
        name: name.clone(),
    })?;
    if !policy::may_extend_dataset(state, user, member.role, row) {
        return Err(Rejection::NotAllowed {
            action: Action::ChangeAnyDataset,
            role: member.role,
        });
    }
    // It may be what the newest version has, which costs nothing.
    let newest = row.version(None).map(|(_, version)| version.bytes);
    if newest == Some(bytes) {
        return Ok(());
    }
    check(state, org, None, bytes)
}
