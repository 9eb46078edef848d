//! Datasets as rows.

use common::{
    id::{OrgId, ProjectId, TreeId, UserId},
    name::Name,
    status::Visibility,
    time::Timestamp,
    units::Bytes,
};
use serde::{Deserialize, Serialize};

/// Named data with its versions, version 1 first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dataset {
    pub(crate) org: OrgId,
    pub(crate) name: Name,
    pub(crate) owner: UserId,
    pub(crate) description: String,
    /// Means nothing where it belongs to a project.
    pub(crate) visibility: Visibility,
    #[serde(default)]
    pub(crate) project: Option<ProjectId>,
    pub(crate) versions: Vec<DatasetVersion>,
}

/// One immutable content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DatasetVersion {
    pub(crate) tree: TreeId,
    pub(crate) bytes: Bytes,
    pub(crate) files: u64,
    pub(crate) created_by: UserId,
    pub(crate) created_at: Timestamp,
}

impl Dataset {
    /// Returns a version and its number; `None` asks for the newest.
    pub(crate) fn version(&self, version: Option<u32>) -> Option<(u32, &DatasetVersion)> {
        let number = version.unwrap_or_else(|| self.newest());
        let place = usize::try_from(number.checked_sub(1)?).ok()?;
        self.versions.get(place).map(|found| (number, found))
    }

    pub(crate) fn created_at(&self) -> Timestamp {
        let first = self.versions.first().map(|version| version.created_at);
        first.unwrap_or_default()
    }

    /// Returns the size of all versions.
    pub(crate) fn bytes(&self) -> u64 {
        let sizes = self.versions.iter().map(|version| version.bytes.0);
        sizes.fold(0, u64::saturating_add)
    }

    pub(crate) fn newest(&self) -> u32 {
        u32::try_from(self.versions.len()).unwrap_or(u32::MAX)
    }
}
