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
    /// Deleted ones keep their place, so that no number is used twice.
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
    #[serde(default)]
    pub(crate) deleted_at: Option<Timestamp>,
}

/// Content that a deleted dataset had, whose bytes may still lie on the coordinator's disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Discarded {
    /// How often it was deleted: a sweep that began before the last time says nothing of that one.
    pub(crate) times: u32,
}

impl Dataset {
    /// Returns a version that is there and its number; `None` asks for the newest.
    pub(crate) fn version(&self, version: Option<u32>) -> Option<(u32, &DatasetVersion)> {
        match version {
            None => self.living().next_back(),
            Some(number) => {
                let place = usize::try_from(number.checked_sub(1)?).ok()?;
                let found = self.versions.get(place)?;
                found.deleted_at.is_none().then_some((number, found))
            }
        }
    }

    /// Returns the versions that are there, with their numbers, oldest first.
    pub(crate) fn living(&self) -> impl DoubleEndedIterator<Item = (u32, &DatasetVersion)> {
        let numbered = self.versions.iter().enumerate();
        let living = numbered.filter(|(_, version)| version.deleted_at.is_none());
        living.map(|(place, version)| (number(place), version))
    }

    /// Takes a version away, whose place stays; returns it as it was.
    pub(crate) fn delete(&mut self, version: u32, at: Timestamp) -> Option<DatasetVersion> {
        self.version(Some(version))?;
        let place = usize::try_from(version.checked_sub(1)?).ok()?;
        let row = self.versions.get_mut(place)?;
        let gone = *row;
        row.deleted_at = Some(at);
        Some(gone)
    }

    /// Returns when it was made, also where its first version was deleted since.
    pub(crate) fn created_at(&self) -> Timestamp {
        let first = self.versions.first().map(|version| version.created_at);
        first.unwrap_or_default()
    }

    /// Returns the size of all versions that are there.
    pub(crate) fn bytes(&self) -> u64 {
        let sizes = self.living().map(|(_, version)| version.bytes.0);
        sizes.fold(0, u64::saturating_add)
    }

    /// Returns the number of the newest version that is there.
    pub(crate) fn newest(&self) -> u32 {
        self.version(None).map_or(0, |(number, _)| number)
    }

    /// Returns the number that the next version will have.
    pub(crate) fn next(&self) -> u32 {
        number(self.versions.len())
    }
}

/// Returns the number of the version in this place.
fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX).saturating_add(1)
}
