//! What can be asked about datasets that are there.

use common::{
    api::data::{MoveDataset, SetDataset},
    dataset::DatasetRef,
    id::{OrgId, TreeId},
};

/// A command about a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatasetCommand {
    /// One version where the reference names one, else the whole dataset.
    Delete {
        org: OrgId,
        dataset: DatasetRef,
    },
    Set(SetDataset),
    Move(MoveDataset),
}

/// Content that a deleted dataset had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiscardedTree {
    pub org: OrgId,
    pub tree: TreeId,
    /// How often it had been deleted when the sweep looked: what was deleted again since is for the next one.
    pub times: u32,
}
