//! Limits of an org and of its members: looking, comparing, setting.

use serde::{Deserialize, Serialize};

use crate::{
    id::OrgId,
    limits::{Limits, Quantity, ResourceLimits, ResourceType},
    name::Name,
    status::Role,
    time::Timestamp,
};

/// What is asked about limits. [`super::Request::ApplyLimits`] replaces those of an org.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LimitsRequest {
    /// Answered by [`LimitsAnswer::Org`].
    Show {
        org: OrgId,
    },
    /// What would change if these were applied. Answered by [`LimitsAnswer::Diff`].
    Diff {
        org: OrgId,
        limits: Box<Limits>,
    },
    /// The bounds of a member, of the one who asks if none is named. Answered by [`LimitsAnswer::Member`].
    Member {
        org: OrgId,
        handle: Option<Name>,
    },
    SetMember(SetMemberLimits),
}

/// What is answered about limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LimitsAnswer {
    Org(OrgLimits),
    Diff(LimitsDiff),
    Member(MemberLimits),
}

/// Changes what a single member may hold; what is not named stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetMemberLimits {
    pub org: OrgId,
    pub handle: Name,
    pub set: ResourceLimits,
    /// From now on the org's `per_user` counts again.
    pub unset: Vec<ResourceType>,
}

/// An org's limits, and what counts against those that are on the org as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrgLimits {
    pub limits: Limits,
    pub bounds: Vec<BoundView>,
    /// Limited models that no machine of the org has.
    pub unknown_models: Vec<Name>,
}

/// What holds a member back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberLimits {
    pub handle: Name,
    pub role: Role,
    /// All of them must allow a start.
    pub bounds: Vec<BoundView>,
}

/// One bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundView {
    /// As in the limits file: `concurrent.gpu`, `per_user.rtx-5090`, `max_job_memory`.
    pub limit: String,
    pub value: Quantity,
    pub source: BoundSource,
    /// What counts against it now, where anything does.
    pub in_use: Option<Quantity>,
}

/// Where a bound comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BoundSource {
    /// The org's, for all its members together.
    Org,
    /// The org's, for each member.
    PerUser,
    /// Set for this member alone, in place of the org's `per_user`.
    Member { by: Option<Name>, at: Timestamp },
}

/// What would change, and who would be over a bound then. Nothing of it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsDiff {
    pub changes: Vec<LimitChange>,
    /// At most [`super::MAX_ROWS`].
    pub over: Vec<OverLimit>,
    /// How many there are, listed or not.
    pub over_count: u32,
    /// Limited models that no machine of the org has.
    pub unknown_models: Vec<Name>,
}

/// One bound that changes; `None` is no bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitChange {
    pub limit: String,
    pub before: Option<Quantity>,
    pub after: Option<Quantity>,
}

/// A bound that is exceeded by what runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverLimit {
    /// `None` where it is the org as a whole.
    pub member: Option<Name>,
    pub bound: BoundView,
}
