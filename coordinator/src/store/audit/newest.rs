//! The entries of several kinds, newest first.

use std::collections::BinaryHeap;

use super::number;
use crate::store::{Raw, StoreError};

/// Several lines of numbers, each in order, as one that goes down.
pub(super) struct NewestFirst<'a> {
    lines: Vec<redb::Range<'a, Raw, Raw>>,
    /// The next of each line, and the line.
    heads: BinaryHeap<(u64, usize)>,
}

impl<'a> NewestFirst<'a> {
    pub(super) fn of(lines: Vec<redb::Range<'a, Raw, Raw>>) -> Result<Self, StoreError> {
        let mut merged = Self {
            heads: BinaryHeap::with_capacity(lines.len()),
            lines,
        };
        for line in 0..merged.lines.len() {
            merged.advance(line)?;
        }
        Ok(merged)
    }

    pub(super) fn next(&mut self) -> Result<Option<u64>, StoreError> {
        let Some((number, line)) = self.heads.pop() else {
            return Ok(None);
        };
        self.advance(line)?;
        Ok(Some(number))
    }

    fn advance(&mut self, line: usize) -> Result<(), StoreError> {
        if let Some((key, _)) = self.lines[line].next_back().transpose()? {
            self.heads.push((number(key.value())?, line));
        }
        Ok(())
    }
}
