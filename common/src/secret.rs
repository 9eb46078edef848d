//! Secrets: values of an org that jobs use and nobody is shown.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    id::{OrgId, SecretId},
    name::Name,
    time::Timestamp,
};

/// Longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 64;
/// Longest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 8 << 10;
/// Shortest value that is looked for in logs, in bytes: shorter ones are in many an innocent word.
pub const LEAST_MASKED_BYTES: usize = 6;
/// Most secrets that one job uses.
pub const MAX_SECRETS_PER_JOB: usize = 32;
/// Most secrets of one org, those of its projects included.
pub const MAX_SECRETS: usize = 1000;
/// Most members, and most projects, that one secret is for.
pub const MAX_USERS: usize = 1000;
/// Names beginning so are set by the agent.
const OWN_VARIABLES: &str = "COMPUTE_SHARE_";

/// The name of a secret, which is the name of the variable that a job finds it in: letters, digits and `_`,
/// not beginning with a digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretName(String);

impl SecretName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for SecretName {
    type Err = InvalidSecretName;

    fn from_str(text: &str) -> Result<Self, InvalidSecretName> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if text.is_empty() {
            Err(InvalidSecretName::Empty)
        } else if text.len() > MAX_NAME_BYTES {
            Err(InvalidSecretName::TooLong)
        } else if let Some(wrong) = text.chars().find(|&c| !plain(c)) {
            Err(InvalidSecretName::Character(wrong))
        } else if text.starts_with(|c: char| c.is_ascii_digit()) {
            Err(InvalidSecretName::Digit)
        } else if text.starts_with(OWN_VARIABLES) {
            Err(InvalidSecretName::Reserved)
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl TryFrom<String> for SecretName {
    type Error = InvalidSecretName;

    fn try_from(text: String) -> Result<Self, InvalidSecretName> {
        text.parse()
    }
}

impl From<SecretName> for String {
    fn from(name: SecretName) -> Self {
        name.0
    }
}

/// What a secret opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretKind {
    /// Whatever the job uses it for: it finds it as a variable.
    Variable,
    /// A registry that images come from; sealed as [`crate::seal::RegistryLogin`]. No job finds it.
    Registry {
        /// `HOST` or `HOST:PORT`.
        registry: String,
    },
}

/// Whose jobs may use a secret of the org, besides those of its admins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretUser {
    Member(Name),
    /// Whoever runs jobs in it.
    Project(Name),
    Everyone,
}

/// A secret as people see it: without its value, which nobody is shown again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretView {
    pub id: SecretId,
    pub name: SecretName,
    /// Whose jobs alone use it; `None` is the org's own.
    pub project: Option<Name>,
    pub kind: SecretKind,
    /// How often it was set.
    pub version: u32,
    /// Whether it is long enough to be looked for in logs.
    pub masked: bool,
    pub set_by: Name,
    pub set_at: Timestamp,
    /// Whose jobs may use it; only for whoever may change that.
    pub users: Option<SecretUsersView>,
}

/// Whose jobs may use a secret of the org, besides those of its admins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretUsersView {
    pub everyone: bool,
    pub members: Vec<Name>,
    pub projects: Vec<Name>,
}

/// A name and a value, on the way to the machine that runs the job. Says nothing of the value.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretValue {
    pub name: SecretName,
    pub value: String,
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretValue")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Returns what a secret's value is sealed for: opened as any other, it does not open.
pub fn sealing_context(org: OrgId, project: Option<&Name>, name: &SecretName) -> String {
    // Names have no slash, and none is "-".
    let project = project.map_or("-", Name::as_str);
    format!("secret/{org}/{project}/{name}")
}

/// Why a text is not a [`SecretName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecretName {
    #[error("a secret needs a name, as in HF_TOKEN")]
    Empty,
    #[error("a secret's name has at most {MAX_NAME_BYTES} characters")]
    TooLong,
    #[error("{0:?} cannot be in a secret's name: letters, digits and '_' can")]
    Character(char),
    #[error("a secret's name cannot begin with a digit: it is the name of a variable")]
    Digit,
    #[error("names beginning with COMPUTE_SHARE_ are set by Compute Share itself")]
    Reserved,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_be_variables() {
        let refused = |text: &str| text.parse::<SecretName>().unwrap_err();
        assert_eq!(
            "HF_TOKEN".parse::<SecretName>().unwrap().as_str(),
            "HF_TOKEN"
        );
        assert!("_a1".parse::<SecretName>().is_ok());
        assert_eq!(refused(""), InvalidSecretName::Empty);
        assert_eq!(refused("1A"), InvalidSecretName::Digit);
        assert_eq!(refused("HF-TOKEN"), InvalidSecretName::Character('-'));
        assert_eq!(refused("A=B"), InvalidSecretName::Character('='));
        assert_eq!(refused("A\n"), InvalidSecretName::Character('\n'));
        // Cyrillic, and looks like A.
        assert_eq!(refused("\u{410}"), InvalidSecretName::Character('\u{410}'));
        assert_eq!(refused("COMPUTE_SHARE_JOB_ID"), InvalidSecretName::Reserved);
        assert_eq!(refused(&"A".repeat(65)), InvalidSecretName::TooLong);
        assert!(serde_json::from_str::<SecretName>("\"A B\"").is_err());
    }
}
