//! Orgs, users and memberships as rows.

use common::{
    approval::ApprovalRules,
    id::{ApprovalId, Fingerprint},
    limits::Limits,
    name::Name,
    org::OrgSettings,
    profile::{DisplayName, Email},
    status::Role,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Org {
    pub(crate) name: Name,
    pub(crate) created_at: Timestamp,
    #[serde(default)]
    pub(crate) limits: Limits,
    #[serde(default)]
    pub(crate) settings: OrgSettings,
    #[serde(default)]
    pub(crate) approvals: ApprovalRules,
    /// Number of the newest rule about machines.
    #[serde(default)]
    pub(crate) machine_rules_made: u32,
    /// Of the next job.
    pub(crate) next_job_number: u64,
}

/// A person. Stays when the last membership ends: finished jobs still have an owner's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) handle: Name,
    pub(crate) created_at: Timestamp,
    #[serde(default)]
    pub(crate) profile: Profile,
}

/// What a user says of themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    pub display_name: Option<DisplayName>,
    pub email: Option<Email>,
}

/// How a membership ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parting {
    /// By the member's own wish.
    Left,
    /// By somebody who may.
    Removed,
}

/// Somebody who was a member and is none now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Former {
    pub(crate) role: Role,
    pub(crate) at: Timestamp,
    pub(crate) parting: Parting,
    /// Of the devices that were signed out with it.
    pub(crate) keys: Vec<Fingerprint>,
    /// To come back; it waits.
    #[serde(default)]
    pub(crate) request: Option<ApprovalId>,
}

/// A user's standing in an org.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) role: Role,
    pub(crate) joined_at: Timestamp,
}
