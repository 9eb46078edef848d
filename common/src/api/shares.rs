//! Whose turn it is in an org: what members have and had of each other's machines, and what they weigh.

use serde::{Deserialize, Serialize};

use crate::{
    id::OrgId, name::Name, org::percent::Percent, org::retention::Retention, weight::Weight,
};

/// One question or command about shares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SharesRequest {
    /// Answered by [`SharesAnswer::Shares`].
    Show {
        org: OrgId,
    },
    SetWeight(SetWeight),
}

/// The answer to a [`SharesRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SharesAnswer {
    Shares(Shares),
}

/// Says how much of the pool somebody should have beside others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetWeight {
    pub org: OrgId,
    pub of: Weighed,
    pub weight: Weight,
}

/// What has a weight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighed {
    Member(Name),
    /// Jobs in it come as if their members had used that much less.
    Project(Name),
}

/// What the order of members is made of. Whoever may not see the usage of others is shown their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shares {
    pub usage_half_life: Retention,
    pub lending_credit: Percent,
    /// Who comes first is first; at most [`super::MAX_ROWS`].
    pub members: Vec<MemberShare>,
    /// How many more there are.
    pub left_out: u32,
    /// Those whose weight is not 1, by name; at most [`super::MAX_ROWS`].
    pub projects: Vec<ProjectWeight>,
}

/// A member's part of what is lent in all, the largest of any one resource, in millionths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberShare {
    pub member: Name,
    pub weight: Weight,
    /// What runs on other members' machines now.
    pub holds_ppm: u64,
    /// What ran there lately, as the average over what is remembered.
    pub used_ppm: u64,
    /// What ran of others on the member's machines lately.
    pub lent_ppm: u64,
    /// All of that in one, for the weight: the least comes first.
    pub standing_ppm: u64,
    /// Tasks that wait.
    pub queued: u64,
}

/// A project that is not like others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectWeight {
    pub project: Name,
    pub weight: Weight,
}
