//! What can be done to an org as a whole.

use common::{
    id::{ApprovalId, OrgId},
    name::Name,
    org::settings::SettingsChange,
};

/// A command to an org, by one of its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrgCommand {
    ChangeSettings {
        org: OrgId,
        change: Box<SettingsChange>,
    },
    /// The user who asks goes.
    Leave { org: OrgId },
    /// Makes an admin the owner, and the owner who asks an admin.
    Transfer {
        org: OrgId,
        to: Name,
        /// What was typed for the org's name.
        typed: String,
    },
    /// Cannot be undone.
    Delete {
        org: OrgId,
        /// What was typed for the org's name.
        typed: String,
    },
    /// The user who asks wants to come back.
    RequestRejoin { request: ApprovalId, name: Name },
}
