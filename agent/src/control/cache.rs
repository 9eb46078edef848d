//! What lies in the machine's cache, and what its owner may do about it.

use common::{time::Timestamp, units::Bytes};
use serde::{Deserialize, Serialize};

/// Most things that are shown at once, those that were used last first.
pub const MAX_SHOWN: usize = 4096;

/// What an owner can ask about the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheRequest {
    List,
    /// Removes these, each named as the list does or by the beginning of its id. All of them go or none.
    Evict {
        which: Vec<String>,
    },
    /// Removes everything that no job uses.
    EvictIdle,
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheAnswer {
    Content(CacheContent),
    Evicted(Evicted),
}

/// Everything in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheContent {
    /// The one that was used last comes first.
    pub entries: Vec<CacheEntry>,
    /// What several have is counted once.
    pub used: Bytes,
    /// How much there may be: what the owner lends of the disk.
    pub limit: Bytes,
    /// Bytes a second that came lately; `None` while nothing large came.
    pub fetch_rate: Option<Bytes>,
}

/// One thing in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheEntry {
    pub id: String,
    pub kind: CacheKind,
    /// As the last job called it that used it here: `digits@3`; empty where that is not known.
    pub name: String,
    /// All of it.
    pub size: Bytes,
    /// What of that others here have too: it goes with the last of them.
    pub shared: Bytes,
    pub last_used_at: Timestamp,
    /// Whether a job has it, or it is on its way: then it stays.
    pub in_use: bool,
    /// Whether all of it is there; the rest comes when a job wants it again.
    pub complete: bool,
}

/// What something in the cache is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheKind {
    /// A dataset, or a work folder.
    Data,
    Image,
}

impl CacheKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Image => "image",
        }
    }
}

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evicted {
    pub entries: Vec<CacheEntry>,
    /// Room that is free now.
    pub freed: Bytes,
}
