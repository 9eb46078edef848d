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
    /// The number of its first version: one, or where the last dataset of its name had left off.
    #[serde(default = "one")]
    pub(crate) first: u32,
    /// Where it was deleted as a whole and can still be brought back.
    #[serde(default)]
    pub(crate) deleted: Option<Deleted>,
}

/// A deletion that can be taken back until its bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deleted {
    pub(crate) by: UserId,
    pub(crate) at: Timestamp,
    pub(crate) until: Timestamp,
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
    /// Where it can still be brought back.
    #[serde(default)]
    pub(crate) deleted: Option<Deleted>,
}

/// What is known of a name that a dataset once had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PastName {
    /// The number of the first version of whatever has the name next, so that none ever means two contents.
    pub(crate) next: u32,
}

/// Content that a deleted dataset or artifact had, whose bytes may still lie on the coordinator's disk.
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
                let found = self.any_version(number)?;
                found.is_living().then_some((number, found))
            }
        }
    }

    /// Returns a version of this number, there or deleted.
    pub(crate) fn any_version(&self, number: u32) -> Option<&DatasetVersion> {
        self.versions.get(self.place(number)?)
    }

    /// Returns the versions that are there, with their numbers, oldest first.
    pub(crate) fn living(&self) -> impl DoubleEndedIterator<Item = (u32, &DatasetVersion)> {
        self.numbered().filter(|(_, version)| version.is_living())
    }

    /// Returns the versions whose bytes are kept: those that are there, and those that can be brought back.
    pub(crate) fn kept(&self) -> impl Iterator<Item = (u32, &DatasetVersion)> {
        self.numbered().filter(|(_, version)| version.is_kept())
    }

    /// Returns the versions that were deleted singly and can be brought back.
    pub(crate) fn restorable(&self) -> impl Iterator<Item = (u32, Deleted)> {
        self.numbered()
            .filter_map(|(number, version)| Some((number, version.deleted?)))
    }

    fn numbered(&self) -> impl DoubleEndedIterator<Item = (u32, &DatasetVersion)> {
        let numbered = self.versions.iter().enumerate();
        numbered.map(|(place, version)| (self.number(place), version))
    }

    /// Takes a version away, whose place stays: for good, or so that it can be brought back.
    pub(crate) fn delete(&mut self, version: u32, at: Timestamp, kept: Option<Deleted>) {
        if let Some(row) = self.at(version) {
            row.deleted_at.get_or_insert(at);
            row.deleted = kept;
        }
    }

    /// Brings a version back.
    pub(crate) fn restore(&mut self, version: u32) {
        if let Some(row) = self.at(version) {
            (row.deleted_at, row.deleted) = (None, None);
        }
    }

    fn at(&mut self, version: u32) -> Option<&mut DatasetVersion> {
        let place = self.place(version)?;
        self.versions.get_mut(place)
    }

    /// Returns when it was made, also where its first version was deleted since.
    pub(crate) fn created_at(&self) -> Timestamp {
        let first = self.versions.first().map(|version| version.created_at);
        first.unwrap_or_default()
    }

    /// Returns how many versions are there.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.living().count()).unwrap_or(u32::MAX)
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
        self.number(self.versions.len())
    }

    /// Returns the number of the version in this place.
    fn number(&self, place: usize) -> u32 {
        u32::try_from(place)
            .unwrap_or(u32::MAX)
            .saturating_add(self.first)
    }

    fn place(&self, number: u32) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }
}

impl DatasetVersion {
    const fn is_living(&self) -> bool {
        self.deleted_at.is_none()
    }

    const fn is_kept(&self) -> bool {
        self.deleted_at.is_none() || self.deleted.is_some()
    }
}

const fn one() -> u32 {
    1
}
