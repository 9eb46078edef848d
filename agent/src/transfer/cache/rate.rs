//! How fast data came to this machine lately.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use common::units::Bytes;

/// Less than this says more about round trips than about the line.
const MIN_BYTES: Bytes = Bytes::mib(4);
/// The part that the newest transfer counts, of so many.
const PARTS: u64 = 4;

/// Bytes a second, as an exponentially weighted mean over transfers.
#[derive(Debug, Default)]
pub(super) struct Rate(Mutex<Option<u64>>);

impl Rate {
    /// Takes note of a transfer.
    pub(super) fn note(&self, bytes: Bytes, took: Duration) {
        if bytes < MIN_BYTES {
            return;
        }
        let micros = took.as_micros().max(1);
        let new = u128::from(bytes.0) * 1_000_000 / micros;
        let new = u64::try_from(new).unwrap_or(u64::MAX).max(1);
        let mut rate = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *rate = Some(rate.map_or(new, |old| old / PARTS * (PARTS - 1) + new / PARTS));
    }

    /// Returns the rate; `None` while nothing large came.
    pub(super) fn per_second(&self) -> Option<Bytes> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .map(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_transfers_say_nothing_and_newer_ones_count_more() {
        let rate = Rate::default();
        rate.note(Bytes::mib(1), Duration::from_secs(1));
        assert_eq!(rate.per_second(), None);
        rate.note(Bytes::mib(8), Duration::from_secs(1));
        assert_eq!(rate.per_second(), Some(Bytes::mib(8)));
        rate.note(Bytes::mib(24), Duration::from_secs(1));
        assert_eq!(rate.per_second(), Some(Bytes::mib(12)));
        rate.note(Bytes::mib(8), Duration::ZERO);
    }
}
