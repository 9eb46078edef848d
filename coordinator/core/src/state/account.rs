//! What belongs to a user rather than to an org: the devices they are signed in on.

use common::{
    id::{Fingerprint, UserId},
    name::Name,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

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
}

impl Device {
    /// Returns whether it may still be used.
    pub(crate) fn is_signed_in(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}
