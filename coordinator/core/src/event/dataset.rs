//! What can have happened to a dataset that was there.

use common::{
    dataset::DatasetRef,
    id::{DatasetId, MachineId, OrgId, ProjectId, TreeId, UserId},
    name::Name,
    status::Visibility,
    time::Timestamp,
    units::Bytes,
};
use serde::Serialize;

use crate::state::{machine::WarmFailure, rows::RowKey};

/// Something that happened to a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum DatasetEvent {
    DatasetChanged {
        dataset: DatasetId,
        org: OrgId,
        name: Name,
        before: DatasetSettings,
        after: DatasetSettings,
    },
    /// It belongs to another project, or to none; personal either way.
    DatasetMoved {
        dataset: DatasetId,
        org: OrgId,
        name: Name,
        project: Option<ProjectId>,
        before: Option<Name>,
        after: Option<Name>,
    },
    DatasetDeleted {
        dataset: DatasetId,
        org: OrgId,
        name: Name,
        owner: UserId,
        by: UserId,
        versions: u32,
        bytes: Bytes,
        at: Timestamp,
        /// It can be brought back until then.
        until: Timestamp,
    },
    /// Its number is not used again.
    DatasetVersionDeleted {
        dataset: DatasetId,
        org: OrgId,
        name: Name,
        version: u32,
        tree: TreeId,
        bytes: Bytes,
        by: UserId,
        at: Timestamp,
        until: Timestamp,
    },
    DatasetRestored {
        dataset: DatasetId,
        org: OrgId,
        before: Name,
        /// Its name from now on.
        name: Name,
        by: UserId,
        versions: u32,
        bytes: Bytes,
        at: Timestamp,
    },
    DatasetVersionRestored {
        dataset: DatasetId,
        org: OrgId,
        name: Name,
        version: u32,
        by: UserId,
        at: Timestamp,
    },
    /// What was deleted, or one version of it, cannot be brought back any more.
    DatasetPurged {
        dataset: DatasetId,
        org: OrgId,
        name: Name,
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<u32>,
        versions: u32,
        bytes: Bytes,
        /// Whose bytes were kept until now.
        #[serde(skip)]
        trees: Vec<TreeId>,
        /// Who did not wait for it.
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<UserId>,
        at: Timestamp,
    },
    /// What deleted datasets had is gone from the disk, or something else needs it.
    DatasetFilesDeleted {
        org: OrgId,
        count: u64,
        #[serde(skip)]
        trees: Vec<TreeId>,
    },
    /// A version is to be on a machine before a job wants it.
    DatasetWarmed {
        machine: MachineId,
        org: OrgId,
        dataset: DatasetRef,
        tree: TreeId,
        by: UserId,
        until: Timestamp,
        at: Timestamp,
    },
    /// The machine is not asked for it any more.
    DatasetWarmEnded {
        machine: MachineId,
        org: OrgId,
        dataset: DatasetRef,
        tree: TreeId,
        end: WarmEnd,
    },
}

/// Why a machine is not asked for data any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WarmEnd {
    There,
    Failed(WarmFailure),
    /// It took too long.
    GivenUp,
}

/// What is said of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatasetSettings {
    pub description: String,
    pub visibility: Visibility,
}

impl DatasetEvent {
    /// Returns the rows to write again (or delete) once the event is applied.
    pub(super) fn touched(&self) -> Vec<RowKey> {
        let discarded = |org: &OrgId, trees: &[TreeId]| {
            let rows = trees.iter().map(|tree| RowKey::discarded(*org, *tree));
            rows.collect::<Vec<_>>()
        };
        match self {
            Self::DatasetChanged { dataset, .. } | Self::DatasetMoved { dataset, .. } => {
                vec![RowKey::dataset(*dataset)]
            }
            Self::DatasetDeleted {
                dataset, org, name, ..
            } => vec![RowKey::dataset(*dataset), RowKey::past_name(*org, name)],
            Self::DatasetPurged {
                dataset,
                org,
                trees,
                ..
            } => {
                let mut rows = discarded(org, trees);
                rows.push(RowKey::dataset(*dataset));
                rows
            }
            Self::DatasetVersionDeleted { dataset, .. }
            | Self::DatasetRestored { dataset, .. }
            | Self::DatasetVersionRestored { dataset, .. } => vec![RowKey::dataset(*dataset)],
            Self::DatasetFilesDeleted { org, trees, .. } => discarded(org, trees),
            Self::DatasetWarmed { machine, .. } => vec![RowKey::machine(*machine)],
            Self::DatasetWarmEnded { machine, .. } => {
                vec![RowKey::machine(*machine), RowKey::report(*machine)]
            }
        }
    }

    pub(crate) const fn org(&self) -> OrgId {
        match self {
            Self::DatasetChanged { org, .. }
            | Self::DatasetMoved { org, .. }
            | Self::DatasetDeleted { org, .. }
            | Self::DatasetVersionDeleted { org, .. }
            | Self::DatasetRestored { org, .. }
            | Self::DatasetVersionRestored { org, .. }
            | Self::DatasetPurged { org, .. }
            | Self::DatasetFilesDeleted { org, .. }
            | Self::DatasetWarmed { org, .. }
            | Self::DatasetWarmEnded { org, .. } => *org,
        }
    }
}
