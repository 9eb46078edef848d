//! Datasets that are mounted lazily: what serves them, and what is said where that does not work.

use std::path::PathBuf;

use common::{id::TreeId, time::Span};
use serde::{Deserialize, Serialize};

use super::PlanInput;

/// How long a read of the job waits for data that is not on the machine. Longer than a coordinator is usually away.
pub const LAZY_PATIENCE: Span = Span::from_secs(600);

/// Where a dataset is on the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatasetFolder {
    /// All of it, in this folder.
    Whole(PathBuf),
    /// Whatever of it was read before; the rest comes when it is read.
    Lazy(Lazy),
}

impl From<PathBuf> for DatasetFolder {
    fn from(path: PathBuf) -> Self {
        Self::Whole(path)
    }
}

/// What serves a dataset's files as they are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lazy {
    /// For people: `digits@3`.
    pub name: String,
    pub tree: TreeId,
    /// The device by which it is served.
    pub device: PathBuf,
    /// Where the tree's description is, and what there is of its data.
    pub store: PathBuf,
    /// The folder with the agent's socket: it is asked for what is missing.
    pub agent: PathBuf,
    /// How long a read may wait.
    pub patience: Span,
}

/// Returns what the job's log says of datasets that were to be mounted lazily and are there as a whole.
pub(super) fn notes(input: &PlanInput<'_>) -> Vec<String> {
    let datasets = input.spec.datasets.iter().zip(&input.folders.datasets);
    let cannot = input.host.fuse.is_none();
    let whole = datasets.filter(|(dataset, folder)| {
        dataset.lazy && cannot && matches!(folder, DatasetFolder::Whole(_))
    });
    whole
        .map(|(dataset, _)| {
            let name = &dataset.name;
            format!(
                "{name} is here as a whole, not lazily: this machine has no FUSE to mount it with"
            )
        })
        .collect()
}
