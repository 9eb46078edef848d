//! Datasets: naming what was uploaded.

use serde::{Deserialize, Serialize};

use crate::{
    id::{OrgId, TreeId},
    name::Name,
    status::Visibility,
};

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
