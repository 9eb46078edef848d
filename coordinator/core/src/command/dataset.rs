//! What can be asked about datasets that are there.

use common::{
    api::data::{DeleteDataset, MoveDataset, RestoreDataset, SetDataset, WarmDataset},
    id::{OrgId, TreeId},
};

pub use crate::state::machine::WarmFailure;

/// A command about a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatasetCommand {
    Delete(DeleteDataset),
    Set(SetDataset),
    Move(MoveDataset),
    Restore(RestoreDataset),
    /// Brings a version to a machine before a job wants it.
    Warm(WarmDataset),
}

/// Content that a deleted dataset had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiscardedTree {
    pub org: OrgId,
    pub tree: TreeId,
    /// How often it had been deleted when the sweep looked: what was deleted again since is for the next one.
    pub times: u32,
}
