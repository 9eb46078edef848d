//! Datasets of an attempt that are mounted lazily, up to where a server can be started for them.

use std::path::Path;

use agent_core::{
    cache_plan::Item,
    sandbox_plan::{DatasetFolder, LAZY_PATIENCE, Lazy},
};
use common::{id::TreeId, problem::Problem, wire::agent::MountedTree};

use super::{Work, prepare::over_uplink};
use crate::lazy::{PinnedLazy, describe as bring};

/// Returns the device by which a dataset is mounted lazily; `None` where it is there as a whole, or has to be.
pub(super) fn device<'a>(work: &'a Work, dataset: &MountedTree) -> Option<&'a Path> {
    let cache = &work.machine.cache;
    let lazily = dataset.lazy && !cache.has(Item::Tree(dataset.tree));
    work.machine.host.fuse.as_deref().filter(|_| lazily)
}

/// Sees to it that the tree's description is here, over as many connections as that takes.
pub(super) async fn describe(work: &Work, tree: TreeId) -> Result<PinnedLazy, Problem> {
    let store = &work.machine.lazy;
    if let Some(pinned) = store.pin(tree) {
        return Ok(pinned);
    }
    over_uplink(work, |connection| bring(store, connection, tree)).await
}

pub(super) fn folder(
    work: &Work,
    dataset: &MountedTree,
    device: &Path,
    pinned: &PinnedLazy,
) -> DatasetFolder {
    DatasetFolder::Lazy(Lazy {
        name: dataset.name.clone(),
        tree: dataset.tree,
        device: device.to_owned(),
        store: pinned.folder().to_owned(),
        agent: work.machine.folder.lazy_door(),
        patience: LAZY_PATIENCE,
    })
}
