//! Lists come in pages: each answer has a part of the rows, and where the next one goes on.

use serde::{Deserialize, Serialize};

/// Most bytes of rows in one answer, about; the last row may be over it.
pub const MAX_PAGE_BYTES: usize = 4 << 20;

/// Rows of a list in its order, after those that a request names with its `after` or `before`.
///
/// A row that stays is on exactly one page, whatever comes and goes between two requests: a page begins after the key
/// `K` that the one before ended with, and not after a number of rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T, K> {
    /// At most [`super::MAX_ROWS`]; may be fewer, or none, where more follow.
    pub rows: Vec<T>,
    /// What the request for the next page is to name. `None` where nothing follows.
    pub next: Option<K>,
}

/// Nothing, and nothing follows.
impl<T, K> Default for Page<T, K> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            next: None,
        }
    }
}
