//! Datasets: naming what was uploaded, changing what is said of it, deleting it.

use serde::{Deserialize, Serialize};

use super::page::Page;
use crate::{
    code::Code,
    dataset::{DatasetDeletion, DatasetRef, DatasetView, DeletedKey, DeletedView},
    id::{OrgId, TreeId},
    name::Name,
    status::Visibility,
    time::{Span, Timestamp},
    tree::TreePath,
    units::Bytes,
};

/// One question or command about a dataset that is there. Changes are answered by the dataset as it is then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataRequest {
    /// What [`DataRequest::Delete`] would take away.
    PreviewDeletion(DeleteDataset),
    Delete(DeleteDataset),
    Set(SetDataset),
    Move(MoveDataset),
    Restore(RestoreDataset),
    /// What was deleted and can be brought back, what goes first at the top.
    ListDeleted {
        org: OrgId,
        after: Option<DeletedKey>,
    },
    /// Brings a version to a machine before a job wants it.
    Warm(WarmDataset),
    /// How far that is.
    ShowWarm(WarmDataset),
    Verify(VerifyDataset),
}

/// The answer to a [`DataRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataAnswer {
    Deletion(DatasetDeletion),
    /// What went.
    Deleted(DatasetDeletion),
    One(Box<DatasetView>),
    /// It was done, and the caller sees the dataset no more.
    Gone,
    ListDeleted(Page<DeletedView, DeletedKey>),
    /// What was uploaded is what the newest version has, so that there is no new one.
    Unchanged(Box<DatasetView>),
    Warm(WarmView),
    Verified(VerifiedPart),
}

/// Deletes one version where the reference names one, else the whole dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteDataset {
    pub org: OrgId,
    pub dataset: DatasetRef,
    /// For good at once, also what was deleted before and is kept for a while.
    pub now: bool,
}

/// Has the coordinator read and hash a part of what it has of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyDataset {
    pub org: OrgId,
    pub dataset: DatasetRef,
    /// The first piece: 0, or what the last part said comes next.
    pub from: u32,
}

/// What was found in one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedPart {
    pub version: u32,
    /// Of the whole version.
    pub files: u64,
    /// What all of its pieces add up to, each counted once.
    pub total: Bytes,
    /// Of this part.
    pub bytes: Bytes,
    /// The first of the files of which a piece in this part is damaged or missing.
    pub damaged: Vec<TreePath>,
    pub damaged_files: u64,
    /// `None` where this was the last part.
    pub next: Option<u32>,
}

/// Most files that [`VerifiedPart::damaged`] names.
pub const MAX_DAMAGED_NAMED: usize = 100;

/// Brings a deleted dataset back, the one that was deleted last where several had the name, or one deleted version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreDataset {
    pub org: OrgId,
    pub dataset: DatasetRef,
    /// A name of its own from now on, where another dataset has its old one.
    pub under: Option<Name>,
}

/// A version of a dataset, and the machine that it is to be on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmDataset {
    pub org: OrgId,
    /// Without a version the newest.
    pub dataset: DatasetRef,
    pub machine: Name,
}

/// How far a dataset is that is to be on a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmView {
    /// With its version.
    pub dataset: DatasetRef,
    pub machine: Name,
    pub bytes: Bytes,
    pub state: WarmState,
    /// About how long it takes from its beginning, at the rate at which data came to the machine lately.
    pub fetch_time: Span,
}

/// See [`WarmView`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarmState {
    /// All of it is there. It stays as long as the machine's cache has room.
    There,
    /// The machine fetches it, or will once it is here and lends again.
    Coming { until: Timestamp },
    /// The machine could not.
    Failed { code: Code, why: String },
    /// Nobody asks for it.
    NotWanted,
}

/// Changes what is `Some`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetDataset {
    pub org: OrgId,
    pub name: Name,
    pub description: Option<String>,
    /// What belongs to a project has none of its own.
    pub visibility: Option<Visibility>,
}

/// Makes a dataset belong to a project, or to its owner alone again. What jobs read already they read on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveDataset {
    pub org: OrgId,
    pub name: Name,
    /// `None`: to none, so that it is its owner's and personal.
    pub project: Option<Name>,
}

/// Makes an uploaded tree the next version of a dataset, or the first of a new one. The same tree as the
/// newest version makes no new one, and is answered by [`DataAnswer::Unchanged`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddDatasetVersion {
    pub org: OrgId,
    pub name: Name,
    pub tree: TreeId,
    /// For a new dataset; an existing one keeps its own where this is `None`.
    pub description: Option<String>,
    /// For a new dataset; `None` is the org's default. What belongs to a project is seen by whom the project
    /// lets see it, and has none of its own.
    pub visibility: Option<Visibility>,
    /// That a new dataset belongs to; an existing one stays where it is.
    pub project: Option<Name>,
}
