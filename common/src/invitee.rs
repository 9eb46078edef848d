//! Whom an invitation is for.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::name::{InvalidName, Name};

/// The one whom an invitation is for: a user of this coordinator by handle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Invitee {
    User(Name),
}

impl fmt::Display for Invitee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(handle) => handle.fmt(f),
        }
    }
}

impl FromStr for Invitee {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        text.parse().map(Self::User)
    }
}

impl TryFrom<String> for Invitee {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<Invitee> for String {
    fn from(invitee: Invitee) -> Self {
        invitee.to_string()
    }
}
