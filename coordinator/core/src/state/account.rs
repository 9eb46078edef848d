//! What belongs to a user rather than to an org: the devices they are signed in on, what shows that it is them, and
//! the tokens that act for them.

use std::{collections::BTreeSet, fmt, time::Duration};

use common::{
    id::{CodeDigest, Fingerprint, OrgId, TokenId, UserId},
    name::Name,
    seal::Sealed,
    status::TokenScope,
    time::Timestamp,
    token::TokenStatus,
};
use serde::{Deserialize, Serialize};

/// Wrong tries in a row before the next has to wait.
const FREE_TRIES: u32 = 5;
/// What the first wait is; each further wrong try doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(60);
/// Longest wait. With it, a code of six digits of which three are good holds against guessing for decades.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// A computer on which a user signed in: the line of certificates that began with one sign-in of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Device {
    pub(crate) user: UserId,
    /// No other device of the user that is signed in has it.
    pub(crate) name: Name,
    pub(crate) key: Fingerprint,
    pub(crate) signed_in_at: Timestamp,
    /// When its newest certificate was issued, and until when that is good.
    pub(crate) renewed_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) revoked_at: Option<Timestamp>,
    /// That it was signed in with: it acts within its bounds and ends with it.
    #[serde(default)]
    pub(crate) token: Option<TokenId>,
    /// Somebody else in this org made the link that it was signed in with: it speaks for the user there alone.
    #[serde(default)]
    pub(crate) bound: Option<OrgId>,
}

impl Device {
    /// Returns whether it may still be used.
    pub(crate) fn is_signed_in(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}

/// What shows that a user is who they say. Apart from the user's row, so that nothing that shows a user can show it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Credentials {
    pub(crate) password: Option<PasswordHash>,
    pub(crate) two_factor: Option<TwoFactor>,
    /// A secret that was shown and not yet confirmed.
    pub(crate) begun: Option<Sealed>,
    pub(crate) tries: Tries,
}

/// A second factor: codes that change with time (RFC 6238), and recovery codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TwoFactor {
    /// Sealed for the coordinator: the book alone gives no codes.
    pub(crate) secret: Sealed,
    pub(crate) since: Timestamp,
    /// Of the newest code that was used: neither it nor an older one is good again.
    pub(crate) last_step: u64,
    /// Those that were not used.
    pub(crate) recovery: BTreeSet<CodeDigest>,
}

/// Tries to prove who one is, since the last that succeeded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Tries {
    pub(crate) count: u32,
    pub(crate) last_at: Timestamp,
}

impl Tries {
    /// Returns when the next try may be.
    pub(crate) fn next_at(&self) -> Timestamp {
        let Some(beyond) = self.count.checked_sub(FREE_TRIES) else {
            return self.last_at;
        };
        let wait = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(beyond));
        self.last_at.saturating_add(wait.min(LONGEST_WAIT))
    }
}

/// An argon2id hash with its salt and parameters, as a PHC string. Says nothing of itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Wraps what the shell has computed.
    pub const fn new(phc: String) -> Self {
        Self(phc)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHash").finish_non_exhaustive()
    }
}

/// What lets programs act for a user in one org.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Token {
    pub(crate) user: UserId,
    pub(crate) org: OrgId,
    /// No other good token of the user in the org has it.
    pub(crate) name: Name,
    pub(crate) scope: TokenScope,
    pub(crate) digest: CodeDigest,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) last_used_at: Option<Timestamp>,
    pub(crate) revoked_at: Option<Timestamp>,
}

impl Token {
    pub(crate) fn status(&self, now: Timestamp) -> TokenStatus {
        if self.revoked_at.is_some() {
            TokenStatus::Revoked
        } else if now >= self.expires_at {
            TokenStatus::Expired
        } else {
            TokenStatus::Good
        }
    }
}
