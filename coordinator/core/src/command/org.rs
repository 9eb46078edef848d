//! What can be done to an org as a whole.

use common::{
    id::{ApprovalId, OrgId},
    name::Name,
    org::{logo::Picture, settings::SettingsChange},
};
use serde::Deserialize;

/// A command to an org, by one of its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrgCommand {
    ChangeSettings {
        org: OrgId,
        change: Box<SettingsChange>,
    },
    /// The user who asks goes.
    Leave {
        org: OrgId,
    },
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
    RequestRejoin {
        request: ApprovalId,
        name: Name,
    },
    /// The user who asks becomes its owner.
    Create {
        org: OrgId,
        name: Name,
        /// As the coordinator's configuration says.
        who_may: WhoMayCreateOrgs,
    },
    SetLogo {
        org: OrgId,
        picture: Picture,
    },
    RemoveLogo {
        org: OrgId,
    },
}

/// Who may make orgs on a coordinator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhoMayCreateOrgs {
    /// Only whoever runs it, beside it.
    #[default]
    Operator,
    /// Every user too.
    Users,
}

impl WhoMayCreateOrgs {
    /// Returns the word that the configuration has for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Users => "users",
        }
    }
}
