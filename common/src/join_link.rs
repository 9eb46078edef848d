//! The link that lets somebody in: where the coordinator is, how to know that it is the right one, and a
//! one-time secret.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::id::Fingerprint;

const SCHEME: &str = "compute-share://";

/// Longest link: an address, two words, 64 digits and a secret.
const MAX_LINK_BYTES: usize = 512;

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkPurpose {
    /// A new member joins an org.
    Join,
    /// A user who exists signs in on one more computer.
    Login,
    /// A program acts for a user, with an API token.
    Token,
}

impl LinkPurpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Login => "login",
            Self::Token => "token",
        }
    }
}

/// `compute-share://HOST:PORT/join/FINGERPRINT/SECRET`
#[derive(Clone, PartialEq, Eq)]
pub struct JoinLink {
    /// `HOST:PORT`, a name or an address.
    pub address: String,
    pub purpose: LinkPurpose,
    /// Of the org's root certificate; nothing else is trusted on the first contact.
    pub fingerprint: Fingerprint,
    /// Shown once, stored nowhere.
    pub secret: String,
}

/// Without the secret, so that a link in a log line lets nobody in.
impl fmt::Debug for JoinLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinLink")
            .field("address", &self.address)
            .field("purpose", &self.purpose)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for JoinLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            address,
            purpose,
            fingerprint,
            secret,
        } = self;
        write!(
            f,
            "{SCHEME}{address}/{}/{fingerprint}/{secret}",
            purpose.as_str()
        )
    }
}

impl FromStr for JoinLink {
    type Err = InvalidLink;

    /// Reads a link, forgiving what pasting does to it: spaces and line breaks inside and around.
    fn from_str(text: &str) -> Result<Self, InvalidLink> {
        if text.len() > MAX_LINK_BYTES {
            return Err(InvalidLink::Shape);
        }
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let rest = text.strip_prefix(SCHEME).ok_or(InvalidLink::Scheme)?;
        let parts: Vec<&str> = rest.split('/').collect();
        let [address, purpose, fingerprint, secret] = parts[..] else {
            return Err(InvalidLink::Shape);
        };
        let purpose = match purpose {
            "join" => LinkPurpose::Join,
            "login" => LinkPurpose::Login,
            "token" => LinkPurpose::Token,
            _ => return Err(InvalidLink::Shape),
        };
        let has_port = address.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0)
        });
        if !has_port {
            return Err(InvalidLink::Address);
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if secret.is_empty() || !secret.chars().all(plain) {
            return Err(InvalidLink::Shape);
        }
        Ok(Self {
            address: address.to_owned(),
            purpose,
            fingerprint: fingerprint.parse().map_err(|_| InvalidLink::Fingerprint)?,
            secret: secret.to_owned(),
        })
    }
}

/// Why a text is not a [`JoinLink`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLink {
    #[error("a link begins with {SCHEME}")]
    Scheme,
    #[error("a link looks like {SCHEME}HOST:PORT/join/FINGERPRINT/SECRET; part of it is missing")]
    Shape,
    #[error("the address in the link needs the form HOST:PORT")]
    Address,
    #[error("the fingerprint in the link is not 64 hexadecimal digits")]
    Fingerprint,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_survives_pasting_and_hides_its_secret() {
        let link = JoinLink {
            address: "lab.example:7443".to_owned(),
            purpose: LinkPurpose::Join,
            fingerprint: Fingerprint::new([0xa5; 32]),
            secret: "S3CRET-CODE".to_owned(),
        };
        assert_eq!(link.to_string().parse(), Ok(link.clone()));
        let pasted = format!("  {}\n", link.to_string().replace("/join", "\n /join"));
        assert_eq!(pasted.parse(), Ok(link.clone()));
        assert!(!format!("{link:?}").contains("S3CRET"));
    }

    #[test]
    fn a_broken_link_says_what_is_wrong() {
        #[track_caller]
        fn check(text: &str, expect: InvalidLink) {
            assert_eq!(text.parse::<JoinLink>(), Err(expect), "{text}");
        }
        check("https://x", InvalidLink::Scheme);
        check("compute-share://h:1/join", InvalidLink::Shape);
        check("compute-share://h/join/ab/c", InvalidLink::Address);
        check("compute-share://h:0/join/ab/c", InvalidLink::Address);
        check("compute-share://h:1/join/ab/c", InvalidLink::Fingerprint);
        check("compute-share://h:1/steal/ab/c", InvalidLink::Shape);
        check(&"x".repeat(1000), InvalidLink::Shape);
    }
}
