//! What can be done to an org as a whole.

use common::{id::OrgId, org::settings::SettingsChange};

/// A command to an org, by one of its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrgCommand {
    ChangeSettings {
        org: OrgId,
        change: Box<SettingsChange>,
    },
    /// The user who asks goes.
    Leave { org: OrgId },
}
