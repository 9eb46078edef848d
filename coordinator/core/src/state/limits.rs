//! Limits of single members as rows.

use std::collections::BTreeMap;

use common::{
    id::UserId,
    limits::{Amount, ResourceLimits, ResourceType},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// What is set for one member alone, in place of the org's `per_user`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnLimits {
    pub(crate) resources: BTreeMap<ResourceType, OwnLimit>,
}

/// One of them, and who set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnLimit {
    pub(crate) most: Amount,
    pub(crate) by: UserId,
    pub(crate) at: Timestamp,
}

impl OwnLimits {
    /// Returns the bounds without who set them.
    pub(crate) fn limits(&self) -> ResourceLimits {
        let mut limits = ResourceLimits::default();
        for (resource, own) in &self.resources {
            // No row has more: each came from such limits.
            if limits.set(resource.clone(), own.most).is_err() {
                break;
            }
        }
        limits
    }

    /// Makes these the bounds; one that stays keeps who set it.
    pub(crate) fn replace(&mut self, limits: &ResourceLimits, by: UserId, at: Timestamp) {
        self.resources
            .retain(|resource, own| limits.most(resource) == Some(own.most));
        for (resource, most) in limits.iter() {
            let own = OwnLimit { most, by, at };
            self.resources.entry(resource.clone()).or_insert(own);
        }
    }
}
