//! Orgs: their settings, leaving them.

use serde::{Deserialize, Serialize};

use crate::{
    id::OrgId,
    name::Name,
    org::{
        OrgSettings,
        deletion::DeletionPreview,
        departure::DeparturePreview,
        logo::{Logo, Picture},
        settings::SettingsChange,
    },
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
    /// What [`super::Request::RemoveMember`] would do. Answered by [`OrgAnswer::Departure`].
    PreviewRemoval { org: OrgId, handle: Name },
    /// What [`Self::Leave`] would do. Answered by [`OrgAnswer::Departure`].
    PreviewLeaving { org: OrgId },
    /// The user who asks goes. Answered by [`super::Answer::Done`].
    Leave { org: OrgId },
    /// Makes an admin the owner, and the owner who asks an admin. Answered by [`super::Answer::Done`].
    Transfer {
        org: OrgId,
        to: Name,
        /// What was typed for the org's name.
        typed: String,
    },
    /// What [`Self::Delete`] would do. Answered by [`OrgAnswer::Deletion`].
    PreviewDeletion { org: OrgId },
    /// Cannot be undone. Answered by [`super::Answer::Done`].
    Delete {
        org: OrgId,
        /// What was typed for the org's name.
        typed: String,
    },
    /// Asks to come back into an org that the user was in. Answered by [`super::Answer::Done`].
    RequestRejoin { name: Name },
    /// Makes an org that the user who asks owns, where the coordinator lets users do so. Answered by
    /// [`super::Answer::Org`].
    Create { name: Name },
    /// Answered by [`OrgAnswer::Logo`].
    ShowLogo { org: OrgId },
    /// Answered by [`super::Answer::Done`].
    SetLogo { org: OrgId, picture: Picture },
    /// Answered by [`super::Answer::Done`].
    RemoveLogo { org: OrgId },
}

/// The answer to an [`OrgRequest`], where there is more to tell than that it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrgAnswer {
    Settings(Box<OrgSettings>),
    Departure(Box<DeparturePreview>),
    Deletion(Box<DeletionPreview>),
    Logo(Box<Logo>),
}
