//! Datasets: named data with immutable, numbered versions.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    id::{DatasetId, TreeId},
    name::{InvalidName, Name},
    problem::Problem,
    status::Visibility,
    time::Timestamp,
    units::Bytes,
};

/// Longest description, in bytes.
pub const MAX_DESCRIPTION_BYTES: usize = 1024;

/// `NAME`, `NAME@latest` or `NAME@VERSION`, as people type it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DatasetRef {
    pub name: Name,
    /// `None` is the newest at the moment of asking.
    pub version: Option<u32>,
}

impl fmt::Display for DatasetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            None => write!(f, "{}", self.name),
            Some(version) => write!(f, "{}@{version}", self.name),
        }
    }
}

impl FromStr for DatasetRef {
    type Err = InvalidDatasetRef;

    fn from_str(text: &str) -> Result<Self, InvalidDatasetRef> {
        let (name, version) = match text.split_once('@') {
            None | Some((_, "latest")) => (text.split('@').next().unwrap_or(text), None),
            Some((name, version)) => match version.parse::<u32>() {
                Ok(version) if version > 0 => (name, Some(version)),
                _ => {
                    return Err(InvalidDatasetRef::Version(
                        version.chars().take(40).collect(),
                    ));
                }
            },
        };
        Ok(Self {
            name: name.parse()?,
            version,
        })
    }
}

impl DatasetRef {
    /// Reads `NAME` or `NAME@VERSION` where the name alone is the whole dataset, so that `@latest` is not.
    ///
    /// # Errors
    /// It is neither.
    pub fn whole_or_version(text: &str) -> Result<Self, InvalidDatasetRef> {
        match text.split_once('@') {
            Some((_, "latest")) => Err(InvalidDatasetRef::Latest),
            _ => text.parse(),
        }
    }
}

/// Why a text is not a [`DatasetRef`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDatasetRef {
    #[error("{0}")]
    Name(#[from] InvalidName),
    #[error("{0:?} is not a version; write a number from 1, or latest")]
    Version(String),
    #[error("latest may be another version by then; write its number, or the name alone for all")]
    Latest,
}

/// A dataset as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetView {
    pub id: DatasetId,
    pub name: Name,
    /// Handle of the user who made it.
    pub owner: Name,
    /// Who made it has left since: it is the org's.
    pub passed_to_org: bool,
    pub description: String,
    /// Means nothing where it belongs to a project.
    pub visibility: Visibility,
    pub project: Option<Name>,
    /// Oldest first, without those that were deleted; never empty.
    pub versions: Vec<DatasetVersionView>,
}

/// One immutable content of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetVersionView {
    /// From 1.
    pub version: u32,
    pub tree: TreeId,
    pub bytes: Bytes,
    pub files: u64,
    pub created_by: Name,
    pub created_at: Timestamp,
}

/// Exactly what deleting a dataset, or one version of it, would take away at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetDeletion {
    pub name: Name,
    /// `None`: the whole dataset.
    pub version: Option<u32>,
    /// How many versions go.
    pub versions: u32,
    pub bytes: Bytes,
    /// Jobs that have not ended and read what would go.
    pub jobs: u64,
    /// Their tasks that wait.
    pub queued_tasks: u64,
    pub running_tasks: u64,
    /// Whether there are more jobs, which were not counted.
    pub more: bool,
    /// Until when it could be brought back; `None` where it would go for good at once.
    pub kept_until: Option<Timestamp>,
    /// Why nothing would go.
    pub refusal: Option<Problem>,
}

/// A dataset, or one version of one that is there, which was deleted and can still be brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedView {
    pub dataset: DatasetId,
    pub name: Name,
    /// `None`: the whole dataset.
    pub version: Option<u32>,
    /// How many versions come back with it.
    pub versions: u32,
    pub bytes: Bytes,
    /// Handle of who deleted it.
    pub deleted_by: Name,
    pub deleted_at: Timestamp,
    /// It goes for good then.
    pub kept_until: Timestamp,
}

/// Where a deleted thing stands in the list of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeletedKey {
    pub kept_until: Timestamp,
    pub dataset: DatasetId,
    /// 0 for the whole dataset.
    pub version: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_name_a_version_or_the_latest() {
        let parse = |text: &str| {
            text.parse::<DatasetRef>()
                .map(|r| (r.name.to_string(), r.version))
        };
        assert_eq!(parse("digits"), Ok(("digits".to_owned(), None)));
        assert_eq!(parse("digits@latest"), Ok(("digits".to_owned(), None)));
        assert_eq!(parse("digits@3"), Ok(("digits".to_owned(), Some(3))));
        for bad in ["digits@0", "digits@x", "digits@-1", "digits@", "@3", "a/b"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let exact = |text| DatasetRef::whole_or_version(text).map(|r| r.version);
        assert_eq!(exact("digits"), Ok(None));
        assert_eq!(exact("digits@3"), Ok(Some(3)));
        assert_eq!(exact("digits@latest"), Err(InvalidDatasetRef::Latest));
    }
}
