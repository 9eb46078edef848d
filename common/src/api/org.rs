//! Orgs: their settings.

use serde::{Deserialize, Serialize};

use crate::{
    id::OrgId,
    org::{OrgSettings, settings::SettingsChange},
};

/// What can be asked of an org as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrgRequest {
    /// Answered by [`OrgAnswer::Settings`].
    ShowSettings { org: OrgId },
    /// Answered by [`OrgAnswer::Settings`], as they are then.
    ChangeSettings {
        org: OrgId,
        change: Box<SettingsChange>,
    },
}

/// The answer to an [`OrgRequest`], where there is more to tell than that it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrgAnswer {
    Settings(Box<OrgSettings>),
}
