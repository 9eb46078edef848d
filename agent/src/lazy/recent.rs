//! The chunks that were read last, checked: who reads a file in steps smaller than its chunks has each of them once.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

/// Most bytes that are kept.
const MOST_BYTES: usize = 16 << 20;

/// By mount and ordinal. The oldest goes first.
#[derive(Debug, Default)]
pub(super) struct Recent {
    chunks: HashMap<(usize, u32), Bytes>,
    order: VecDeque<(usize, u32)>,
    bytes: usize,
}

impl Recent {
    pub(super) fn get(&self, mount: usize, ordinal: u32) -> Option<Bytes> {
        self.chunks.get(&(mount, ordinal)).cloned()
    }

    pub(super) fn put(&mut self, mount: usize, ordinal: u32, bytes: &Bytes) {
        let key = (mount, ordinal);
        if self.chunks.insert(key, bytes.clone()).is_some() {
            return;
        }
        self.order.push_back(key);
        self.bytes += bytes.len();
        while self.bytes > MOST_BYTES
            && let Some(oldest) = self.order.pop_front()
        {
            let gone = self.chunks.remove(&oldest);
            self.bytes -= gone.map_or(0, |bytes| bytes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_kept_and_no_more_than_may_be() {
        let mut recent = Recent::default();
        let chunk = Bytes::from(vec![1; 1 << 20]);
        for ordinal in 0..100 {
            recent.put(0, ordinal, &chunk);
            recent.put(0, ordinal, &chunk);
        }
        assert!(recent.get(0, 99).is_some() && recent.get(0, 84).is_some());
        assert!(recent.get(0, 83).is_none() && recent.get(1, 99).is_none());
        assert_eq!(recent.bytes, MOST_BYTES);
    }
}
