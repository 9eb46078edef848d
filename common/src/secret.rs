//! Secrets: values of an org that jobs use and nobody is shown.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 64;
/// Most secrets that one job uses.
pub const MAX_SECRETS_PER_JOB: usize = 32;
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
