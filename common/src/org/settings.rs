//! How an org presents and runs itself: texts, switches, defaults.

mod switches;

use serde::{Deserialize, Serialize};

pub use self::switches::Switch;
use super::{
    percent::{InvalidPercent, Percent},
    retention::Retention,
    storage::{InvalidPlace, StoragePlace},
};
use crate::{
    status::{Preemption, UnknownWord, Visibility},
    time::{InvalidSpan, Span},
};

/// Longest display name, in bytes.
pub const MAX_DISPLAY_NAME_BYTES: usize = 128;
/// Longest description of an org, in bytes.
pub const MAX_ORG_DESCRIPTION_BYTES: usize = 4096;
/// Longest contact, in bytes: room for an address and a name.
pub const MAX_CONTACT_BYTES: usize = 512;

/// Shortest time for which artifacts are kept: whoever submitted the job has to get at them.
pub const MIN_ARTIFACTS_KEPT: Retention = Retention::For(Span::from_secs(3600));
/// Longest time for which what was deleted can be brought back, in which its bytes count as kept.
pub const MAX_DELETED_DATA_KEPT: Retention = Retention::days(366);
/// Shortest half-life of what members used: below it who runs short tasks pays for none of them.
pub const MIN_USAGE_HALF_LIFE: Retention = Retention::For(Span::from_secs(600));
pub const MAX_USAGE_HALF_LIFE: Retention = Retention::days(366);
/// Shortest wait by which a job rises.
pub const MIN_RAISED_AFTER: Retention = Retention::For(Span::from_secs(60));

/// What an org's admins have set. The name of a key is its field's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OrgSettings {
    /// What people call it; empty is its name.
    pub display_name: String,
    pub description: String,
    /// Whom to ask, in whatever words.
    pub contact: String,
    /// Of a dataset or job of no project whose maker says nothing. At first personal: a class sees each other's work only
    /// where an admin wants that.
    pub default_visibility: Visibility,
    /// As members only; admins always may.
    pub members_may_invite: bool,
    /// Create and stop them; admins always may.
    pub members_may_create_clusters: bool,
    /// Admins always may.
    pub members_may_open_ports: bool,
    /// Make and unmake admins, remove and invite them; the owner always may.
    pub admins_may_manage_admins: bool,
    /// Off: a machine takes part as soon as it is registered.
    pub machine_approval_required: bool,
    /// Members without a second factor are refused.
    pub require_two_factor: bool,
    /// What tasks left, from its arrival on.
    pub artifacts_kept: Retention,
    /// Deleted datasets and versions, which can be brought back for so long. Holds for what is deleted from then on.
    pub deleted_data_kept: Retention,
    /// Where the bytes of datasets, work folders and artifacts live.
    pub storage: StoragePlace,
    /// By when half of what a member used counts no more in whose turn it is.
    pub usage_half_life: Retention,
    /// How much of what a member's machines lent counts against what the member used.
    pub lending_credit: Percent,
    /// How long a job waits before its priority rises by one step, so that none waits for ever.
    pub raised_after: Retention,
    /// How long a job that comes first waits for a machine before one is kept free for it.
    pub reserved_after: Retention,
    /// Whose place a job may take that waits.
    pub preemption: Preemption,
    /// How long it waits before it does.
    pub preempts_after: Retention,
    /// How long a task runs at least before it may have to give way.
    pub preempted_after: Retention,
}

impl Default for OrgSettings {
    fn default() -> Self {
        Self {
            display_name: String::new(),
            description: String::new(),
            contact: String::new(),
            default_visibility: Visibility::Personal,
            members_may_invite: false,
            members_may_create_clusters: false,
            members_may_open_ports: false,
            admins_may_manage_admins: false,
            machine_approval_required: true,
            require_two_factor: false,
            artifacts_kept: Retention::days(90),
            deleted_data_kept: Retention::days(7),
            storage: StoragePlace::Local,
            usage_half_life: Retention::days(1),
            lending_credit: Percent::default(),
            raised_after: Retention::days(1),
            reserved_after: Retention::For(Span::from_secs(600)),
            preemption: Preemption::Priority,
            preempts_after: Retention::For(Span::from_secs(60)),
            preempted_after: Retention::For(Span::from_secs(600)),
        }
    }
}

/// Some of the settings; what is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SettingsChange {
    pub display_name: Option<String>,
    pub description: Option<String>,
    pub contact: Option<String>,
    pub default_visibility: Option<Visibility>,
    pub members_may_invite: Option<bool>,
    pub members_may_create_clusters: Option<bool>,
    pub members_may_open_ports: Option<bool>,
    pub admins_may_manage_admins: Option<bool>,
    pub machine_approval_required: Option<bool>,
    pub require_two_factor: Option<bool>,
    pub artifacts_kept: Option<Retention>,
    pub deleted_data_kept: Option<Retention>,
    pub storage: Option<StoragePlace>,
    pub usage_half_life: Option<Retention>,
    pub lending_credit: Option<Percent>,
    pub raised_after: Option<Retention>,
    pub reserved_after: Option<Retention>,
    pub preemption: Option<Preemption>,
    pub preempts_after: Option<Retention>,
    pub preempted_after: Option<Retention>,
}

/// Why settings cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSetting {
    #[error("there is no setting {key:?}; there are {}", SettingsChange::KEYS.join(", "))]
    Unknown { key: String },
    #[error("{key} is on or off, not {value:?}")]
    Switch { key: &'static str, value: String },
    #[error("{key}: {source}")]
    Word {
        key: &'static str,
        #[source]
        source: UnknownWord,
    },
    #[error("{key} is a time such as 30d, or forever: {source}")]
    Time {
        key: &'static str,
        #[source]
        source: InvalidSpan,
    },
    #[error("{key} is {least} at least, not {value}")]
    TooShort {
        key: &'static str,
        value: Retention,
        least: Retention,
    },
    #[error("{key} is {most} at most, not {value}")]
    TooMuchTime {
        key: &'static str,
        value: Retention,
        most: Retention,
    },
    #[error("{key}: {source}")]
    Place {
        key: &'static str,
        #[source]
        source: InvalidPlace,
    },
    #[error("{key}: {source}")]
    Percent {
        key: &'static str,
        #[source]
        source: InvalidPercent,
    },
    #[error("{key} has {bytes} bytes; it has room for {most}")]
    TooLong {
        key: &'static str,
        bytes: usize,
        most: usize,
    },
    #[error("a logo is a PNG, JPEG or WebP picture, and this is none")]
    NotAPicture,
    #[error("{key} holds {character:?}, which changes how a line reads instead of being shown")]
    Character { key: &'static str, character: char },
}

impl SettingsChange {
    /// Every key that can be set, as people write it.
    pub const KEYS: [&str; 20] = [
        "display_name",
        "description",
        "contact",
        "default_visibility",
        "members_may_invite",
        "members_may_create_clusters",
        "members_may_open_ports",
        "admins_may_manage_admins",
        "machine_approval_required",
        "require_two_factor",
        "artifacts_kept",
        "deleted_data_kept",
        "storage",
        "usage_half_life",
        "lending_credit",
        "raised_after",
        "reserved_after",
        "preemption",
        "preempts_after",
        "preempted_after",
    ];

    /// Takes in one `KEY=VALUE`; in a key, `-` is as good as `_`.
    ///
    /// # Errors
    /// There is no such key, or the value is none of its kind.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), InvalidSetting> {
        let wanted = key.replace('-', "_");
        let key = Self::KEYS.into_iter().find(|known| *known == wanted);
        let key = key.ok_or(InvalidSetting::Unknown { key: wanted })?;
        let text = || Some(value.to_owned());
        match key {
            "display_name" => self.display_name = text(),
            "description" => self.description = text(),
            "contact" => self.contact = text(),
            "default_visibility" => {
                let word = value.replace('-', "_");
                let parsed = word.parse::<Visibility>();
                let parsed = parsed.map_err(|source| InvalidSetting::Word { key, source })?;
                self.default_visibility = Some(parsed);
            }
            "artifacts_kept" => self.artifacts_kept = Some(time(key, value)?),
            "deleted_data_kept" => self.deleted_data_kept = Some(time(key, value)?),
            "usage_half_life" => self.usage_half_life = Some(time(key, value)?),
            "raised_after" => self.raised_after = Some(time(key, value)?),
            "reserved_after" => self.reserved_after = Some(time(key, value)?),
            "preempts_after" => self.preempts_after = Some(time(key, value)?),
            "preempted_after" => self.preempted_after = Some(time(key, value)?),
            "preemption" => {
                let parsed = value.parse();
                let parsed = parsed.map_err(|source| InvalidSetting::Word { key, source })?;
                self.preemption = Some(parsed);
            }
            "lending_credit" => {
                let parsed = value.parse();
                let parsed = parsed.map_err(|source| InvalidSetting::Percent { key, source })?;
                self.lending_credit = Some(parsed);
            }
            "storage" => {
                let parsed = value.parse();
                let parsed = parsed.map_err(|source| InvalidSetting::Place { key, source })?;
                self.storage = Some(parsed);
            }
            _ => {
                let on = switch(key, value)?;
                let field = match key {
                    "members_may_invite" => &mut self.members_may_invite,
                    "members_may_create_clusters" => &mut self.members_may_create_clusters,
                    "members_may_open_ports" => &mut self.members_may_open_ports,
                    "admins_may_manage_admins" => &mut self.admins_may_manage_admins,
                    "machine_approval_required" => &mut self.machine_approval_required,
                    _ => &mut self.require_two_factor,
                };
                *field = Some(on);
            }
        }
        Ok(())
    }

    /// Returns the settings with the change made.
    ///
    /// # Errors
    /// A text is too long or holds what is not plain text.
    pub fn made_to(&self, before: &OrgSettings) -> Result<OrgSettings, InvalidSetting> {
        let text =
            |change: &Option<String>, before: &String| change.as_ref().unwrap_or(before).clone();
        let after = OrgSettings {
            display_name: text(&self.display_name, &before.display_name),
            description: text(&self.description, &before.description),
            contact: text(&self.contact, &before.contact),
            default_visibility: self.default_visibility.unwrap_or(before.default_visibility),
            members_may_invite: self.members_may_invite.unwrap_or(before.members_may_invite),
            members_may_create_clusters: self
                .members_may_create_clusters
                .unwrap_or(before.members_may_create_clusters),
            members_may_open_ports: self
                .members_may_open_ports
                .unwrap_or(before.members_may_open_ports),
            admins_may_manage_admins: self
                .admins_may_manage_admins
                .unwrap_or(before.admins_may_manage_admins),
            machine_approval_required: self
                .machine_approval_required
                .unwrap_or(before.machine_approval_required),
            require_two_factor: self.require_two_factor.unwrap_or(before.require_two_factor),
            artifacts_kept: self.artifacts_kept.unwrap_or(before.artifacts_kept),
            deleted_data_kept: self.deleted_data_kept.unwrap_or(before.deleted_data_kept),
            storage: self.storage.as_ref().unwrap_or(&before.storage).clone(),
            usage_half_life: self.usage_half_life.unwrap_or(before.usage_half_life),
            lending_credit: self.lending_credit.unwrap_or(before.lending_credit),
            raised_after: self.raised_after.unwrap_or(before.raised_after),
            reserved_after: self.reserved_after.unwrap_or(before.reserved_after),
            preemption: self.preemption.unwrap_or(before.preemption),
            preempts_after: self.preempts_after.unwrap_or(before.preempts_after),
            preempted_after: self.preempted_after.unwrap_or(before.preempted_after),
        };
        after.check()?;
        Ok(after)
    }
}

impl OrgSettings {
    fn check(&self) -> Result<(), InvalidSetting> {
        let texts = [
            (
                "display_name",
                &self.display_name,
                MAX_DISPLAY_NAME_BYTES,
                false,
            ),
            (
                "description",
                &self.description,
                MAX_ORG_DESCRIPTION_BYTES,
                true,
            ),
            ("contact", &self.contact, MAX_CONTACT_BYTES, false),
        ];
        for (key, text, most, lines) in texts {
            let bytes = text.len();
            if bytes > most {
                return Err(InvalidSetting::TooLong { key, bytes, most });
            }
            let breaks = |c: char| lines && (c == '\n' || c == '\t');
            if let Some(character) = text.chars().find(|&c| is_obeyed(c) && !breaks(c)) {
                return Err(InvalidSetting::Character { key, character });
            }
        }
        for (key, value, least) in [
            ("artifacts_kept", self.artifacts_kept, MIN_ARTIFACTS_KEPT),
            ("usage_half_life", self.usage_half_life, MIN_USAGE_HALF_LIFE),
            ("raised_after", self.raised_after, MIN_RAISED_AFTER),
        ] {
            if value.is_shorter_than(least) {
                return Err(InvalidSetting::TooShort { key, value, least });
            }
        }
        for (key, value, most) in [
            (
                "deleted_data_kept",
                self.deleted_data_kept,
                MAX_DELETED_DATA_KEPT,
            ),
            ("usage_half_life", self.usage_half_life, MAX_USAGE_HALF_LIFE),
        ] {
            if most.is_shorter_than(value) {
                return Err(InvalidSetting::TooMuchTime { key, value, most });
            }
        }
        Ok(())
    }
}

/// Returns whether `c` does something to the text around it instead of being shown: controls, marks that turn the
/// direction of writing, and letters without width, by which two texts could look the same and not be.
pub fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn switch(key: &'static str, value: &str) -> Result<bool, InvalidSetting> {
    match value {
        "on" | "true" | "yes" => Ok(true),
        "off" | "false" | "no" => Ok(false),
        _ => Err(InvalidSetting::Switch {
            key,
            value: value.to_owned(),
        }),
    }
}

fn time(key: &'static str, value: &str) -> Result<Retention, InvalidSetting> {
    let parsed = value.parse();
    parsed.map_err(|source| InvalidSetting::Time { key, source })
}

#[cfg(test)]
mod tests;
