//! The registry of certificates: what counts is what stands here, whatever a certificate says of itself.

use common::{
    id::{DeviceId, Fingerprint, MachineId, UserId},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::command::Actor;

/// Who a certificate speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    User(UserId),
    Machine(MachineId),
}

impl Holder {
    pub const fn actor(self) -> Actor {
        match self {
            Self::User(user) => Actor::User(user),
            Self::Machine(machine) => Actor::Machine(machine),
        }
    }
}

/// One certificate that was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Certificate {
    pub(crate) holder: Holder,
    /// Of a user's: the device that it was issued to. Those from before devices were kept have none.
    #[serde(default)]
    pub(crate) device: Option<DeviceId>,
    pub(crate) key: Fingerprint,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// Set by renewal: the grace after which it is no longer good.
    pub(crate) superseded_until: Option<Timestamp>,
    pub(crate) revoked_at: Option<Timestamp>,
}

impl Certificate {
    /// Returns the moment from which it is no longer good.
    pub(crate) fn good_until(&self) -> Timestamp {
        self.superseded_until
            .map_or(self.expires_at, |until| until.min(self.expires_at))
    }
}
