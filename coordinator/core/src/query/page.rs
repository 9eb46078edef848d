//! Lists in pages: a request looks at a bounded part of a list, and says where the next one goes on.

use std::{io, ops::Bound};

use common::api::page::{MAX_PAGE_BYTES, Page};
use serde::Serialize;

use crate::rejection::Rejection;

/// Most rows that one request looks at, shown or not: so many take some milliseconds, in which no command is committed.
const MAX_LOOKED_AT: usize = 20_000;

/// Returns the range of what comes after `key`, of everything if there is none.
pub(super) fn after<K>(key: Option<&K>) -> (Bound<&K>, Bound<&K>) {
    let first = key.map_or(Bound::Unbounded, Bound::Excluded);
    (first, Bound::Unbounded)
}

/// Returns the range of what comes before `key`, where the newest is listed first.
pub(super) fn before<K>(key: Option<&K>) -> (Bound<&K>, Bound<&K>) {
    let last = key.map_or(Bound::Unbounded, Bound::Excluded);
    (Bound::Unbounded, last)
}

/// Returns the page of at most so many `rows` from their first on. They come in the order of their keys; `view` returns
/// `None` for what is not shown to whoever asks.
pub(super) fn page<R: Copy, K, V: Serialize>(
    most: u32,
    rows: impl IntoIterator<Item = R>,
    key: impl FnOnce(R) -> K,
    mut view: impl FnMut(R) -> Result<Option<V>, Rejection>,
) -> Result<Page<V, K>, Rejection> {
    let most = super::most(most.max(1));
    let mut rows = rows.into_iter();
    let mut page = Page::default();
    let (mut looked_at, mut bytes) = (0, 0);
    while let Some(row) = rows.next() {
        looked_at += 1;
        if let Some(view) = view(row)? {
            bytes += size(&view);
            page.rows.push(view);
        }
        if page.rows.len() >= most || bytes >= MAX_PAGE_BYTES || looked_at >= MAX_LOOKED_AT {
            page.next = rows.next().map(|_| key(row));
            break;
        }
    }
    Ok(page)
}

/// Returns about how many bytes a row is; on the wire it is fewer.
fn size(view: &impl Serialize) -> usize {
    let mut counted = Counted(0);
    // A view is plain data, and counting does not fail.
    let _ = serde_json::to_writer(&mut counted, view);
    counted.0
}

struct Counted(usize);

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
