//! What can have happened to what tasks left, besides its arrival.

use common::{
    id::{AttemptId, OrgId, TreeId},
    time::Timestamp,
    units::Bytes,
};
use serde::Serialize;

use crate::state::rows::RowKey;

/// Something that happened to artifacts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ArtifactEvent {
    /// They were kept for as long as the org keeps such things.
    ArtifactsForgotten {
        org: OrgId,
        /// Of how many attempts.
        count: u64,
        bytes: Bytes,
        #[serde(skip)]
        attempts: Vec<(AttemptId, TreeId)>,
        at: Timestamp,
    },
}

impl ArtifactEvent {
    /// Returns the rows to write again (or delete) once the event is applied.
    pub(super) fn touched(&self) -> Vec<RowKey> {
        let Self::ArtifactsForgotten { org, attempts, .. } = self;
        let rows = attempts.iter().flat_map(|(attempt, tree)| {
            [RowKey::attempt(*attempt), RowKey::discarded(*org, *tree)]
        });
        rows.collect()
    }

    pub(crate) const fn org(&self) -> OrgId {
        let Self::ArtifactsForgotten { org, .. } = self;
        *org
    }
}
