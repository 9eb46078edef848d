//! Whom an invitation is for.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    name::{InvalidName, Name},
    profile::{Email, InvalidProfile},
};

/// The one whom an invitation is for. As text, an `@` tells an address: no handle has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Invitee {
    /// A user of this coordinator, by handle.
    User(Name),
    /// Whoever reads the mail of this address, as far as the maker of the invitation sends it there. Nobody checks
    /// whose an address is, so that the link alone lets in.
    Email(Email),
}

/// Why a text is not an [`Invitee`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInvitee {
    #[error("{0}")]
    User(#[from] InvalidName),
    #[error(transparent)]
    Email(#[from] InvalidProfile),
}

impl fmt::Display for Invitee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(handle) => handle.fmt(f),
            Self::Email(address) => address.fmt(f),
        }
    }
}

impl FromStr for Invitee {
    type Err = InvalidInvitee;

    fn from_str(text: &str) -> Result<Self, InvalidInvitee> {
        if text.contains('@') {
            Ok(Self::Email(text.parse()?))
        } else {
            Ok(Self::User(text.parse()?))
        }
    }
}

impl TryFrom<String> for Invitee {
    type Error = InvalidInvitee;

    fn try_from(text: String) -> Result<Self, InvalidInvitee> {
        text.parse()
    }
}

impl From<Invitee> for String {
    fn from(invitee: Invitee) -> Self {
        invitee.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_at_sign_tells_an_address_from_a_handle() {
        #[track_caller]
        fn check(text: &str, expect: &str) {
            let parsed: Result<Invitee, _> = text.parse();
            let shown = match &parsed {
                Ok(Invitee::User(handle)) => format!("user {handle}"),
                Ok(Invitee::Email(address)) => format!("address {address}"),
                Err(invalid) => invalid.to_string(),
            };
            assert_eq!(shown, expect, "{text:?}");
            if let Ok(invitee) = parsed {
                assert_eq!(String::from(invitee.clone()).parse(), Ok(invitee));
            }
        }
        check("bob", "user bob");
        check("bob@Example.ORG", "address bob@example.org");
        let form = "the address does not have the form NAME@DOMAIN";
        check("@example.org", form);
        check("a..b@example.org", form);
        check("bob@", form);
        check("bob@lab", "\"lab\" cannot be the domain of an address");
        let letter = "the address holds U+043E, which is no plain letter, digit or sign";
        check("b\u{43e}b@example.org", letter);
        let control = "the address holds U+001B, which is no plain letter, digit or sign";
        check("bob\u{1b}[2J@example.org", control);
        check("bob@example.org,eve@example.org", "the address holds ','");
        let long = format!("{}@example.org", "b".repeat(65));
        let name = "the part of the address before the @ is longer than 64 bytes";
        check(&long, name);
        let longer = format!("bob@{}org", "example.".repeat(32));
        check(&longer, "the address is longer than 254 bytes");
    }
}
