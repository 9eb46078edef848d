//! Usage: sums over all attempts of an org that have ended.

use serde::{Deserialize, Serialize};

use crate::{
    id::OrgId,
    status::UsageBy,
    time::Timestamp,
    usage::{UsageRow, UsageSums},
};

/// Members are shown what they used and what their machines lent; admins are shown everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShowUsage {
    pub org: OrgId,
    pub by: UsageBy,
    /// Only attempts that ended on this day of UTC or later; all where there is none.
    pub since: Option<Timestamp>,
    /// Only rows after this id, for the next page.
    pub after: Option<String>,
    /// At most [`super::MAX_ROWS`].
    pub limit: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageReport {
    pub by: UsageBy,
    /// The beginning of the first day that counts.
    pub since: Option<Timestamp>,
    /// Over all rows, also those on other pages.
    pub billed: UsageSums,
    pub unbilled: UsageSums,
    /// By id.
    pub rows: Vec<UsageRow>,
    /// Where the next page begins: what [`ShowUsage::after`] is to be. `None` where nothing follows.
    pub after: Option<String>,
}
