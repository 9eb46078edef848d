//! The audit log: entries in words, and the chain itself for whoever wants to prove it.

use serde::{Deserialize, Serialize};

use crate::{
    audit::{AuditEntry, ChainHead, SealedEntry},
    id::OrgId,
    status::AuditKind,
    time::Timestamp,
};

/// What can be asked of an org's audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuditRequest {
    List(ListAudit),
    Chain(ReadChain),
}

/// Newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListAudit {
    pub org: OrgId,
    /// Empty is all that are shown unless asked otherwise; see [`AuditKind::is_shown`].
    pub kinds: Vec<AuditKind>,
    /// A user's handle, a machine's name, or `system`.
    pub actor: Option<String>,
    /// Not what was before.
    pub since: Option<Timestamp>,
    /// Only entries before this number, for the next page.
    pub before: Option<u64>,
    /// At most [`super::MAX_ROWS`].
    pub limit: u32,
}

/// Entries as they are kept, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadChain {
    pub org: OrgId,
    /// Number of the first.
    pub from: u64,
}

/// What is said of an org's audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuditAnswer {
    Page(AuditPage),
    Chain(ChainPage),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPage {
    pub entries: Vec<AuditEntry>,
    /// Where the next page begins: what [`ListAudit::before`] is to be. `None` where there is nothing older. A page may
    /// have few entries or none and still go on: no question looks at more than a bounded part of the log.
    pub before: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainPage {
    /// As many as fit, from the number that was asked for.
    pub entries: Vec<SealedEntry>,
    /// Of the whole log, when this was read.
    pub head: ChainHead,
}
