//! What can have happened to an org as a whole.

use common::{
    id::{ApprovalId, OrgId, UserId},
    name::Name,
    org::{LogoView, OrgSettings, logo::Picture},
    time::Timestamp,
    weight::Weight,
};
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
    OrgLogoChanged {
        org: OrgId,
        before: Option<LogoView>,
        after: Option<LogoView>,
        /// The log says which one; the book alone has it.
        #[serde(skip)]
        picture: Option<Picture>,
    },
    /// The owner before is an admin now.
    OrgTransferred {
        org: OrgId,
        before: UserId,
        after: UserId,
    },
    MemberWeightSet {
        org: OrgId,
        user: UserId,
        by: UserId,
        before: Weight,
        after: Weight,
        at: Timestamp,
    },
    /// Somebody who was a member asks to come back.
    RejoinRequested {
        request: ApprovalId,
        org: OrgId,
        user: UserId,
        at: Timestamp,
    },
    /// With everything that was in it.
    OrgDeleted {
        org: OrgId,
        name: Name,
        by: UserId,
        at: Timestamp,
        #[serde(skip)]
        rows: Vec<RowKey>,
    },
    /// Nothing of it is on the disk any more.
    OrgFilesDeleted { org: OrgId, trees: u64 },
    RejoinRefused {
        org: OrgId,
        user: UserId,
        at: Timestamp,
    },
}

impl OrgEvent {
    pub(super) fn touched(&self) -> Vec<RowKey> {
        match self {
            Self::OrgSettingsChanged { org, .. } => vec![RowKey::org(*org)],
            Self::OrgLogoChanged { org, .. } => vec![RowKey::logo(*org)],
            Self::OrgDeleted { org, rows, .. } => {
                let mut touched = rows.clone();
                touched.push(RowKey::deletion(*org));
                touched
            }
            Self::OrgFilesDeleted { org, .. } => vec![RowKey::deletion(*org)],
            Self::OrgTransferred { org, before, after } => {
                vec![RowKey::member(*org, *before), RowKey::member(*org, *after)]
            }
            Self::MemberWeightSet { org, user, .. } => vec![RowKey::standing(*org, *user)],
            Self::RejoinRequested { org, user, .. } | Self::RejoinRefused { org, user, .. } => {
                vec![RowKey::former(*org, *user)]
            }
        }
    }
}
