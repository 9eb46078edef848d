//! Datasets: naming what was uploaded, changing what is said of it, deleting it.

use serde::{Deserialize, Serialize};

use crate::{
    dataset::{DatasetDeletion, DatasetRef, DatasetView},
    id::{OrgId, TreeId},
    name::Name,
    status::Visibility,
};

/// One question or command about a dataset that is there. Changes are answered by the dataset as it is then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataRequest {
    /// What [`DataRequest::Delete`] would take away.
    PreviewDeletion {
        org: OrgId,
        dataset: DatasetRef,
    },
    /// One version where the reference names one, else the whole dataset.
    Delete {
        org: OrgId,
        dataset: DatasetRef,
    },
    Set(SetDataset),
    Move(MoveDataset),
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
/// newest version makes no new one.
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
