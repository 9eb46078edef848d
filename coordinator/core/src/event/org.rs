//! What can have happened to an org as a whole.

use common::{id::OrgId, org::OrgSettings};
use serde::Serialize;

use crate::state::rows::RowKey;

/// Something that happened to an org.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum OrgEvent {
    OrgSettingsChanged {
        org: OrgId,
        before: Box<OrgSettings>,
        after: Box<OrgSettings>,
    },
}

impl OrgEvent {
    pub(super) fn touched(&self) -> Vec<RowKey> {
        match self {
            Self::OrgSettingsChanged { org, .. } => vec![RowKey::org(*org)],
        }
    }
}
