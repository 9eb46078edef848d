//! The coordinator's wall clock, the only place that reads it. It never goes back: not when the system's clock
//! is set back, and not from one run to the next, since it starts no earlier than the newest event in the book and what `kept` says.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use common::time::Timestamp;

/// A clock that never goes back.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    last_ms: AtomicU64,
}

impl Clock {
    /// Returns a clock that shows at least `earliest`.
    pub(crate) fn starting_at(earliest: Timestamp) -> Self {
        Self {
            last_ms: AtomicU64::new(earliest.unix_ms()),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let ms = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        let before = self.last_ms.fetch_max(ms, Ordering::Relaxed);
        Timestamp::from_unix_ms(before.max(ms))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_was_set_back_stands_still() {
        let ahead = Clock::default()
            .now()
            .saturating_add(Duration::from_secs(3600));
        let clock = Clock::starting_at(ahead);
        assert_eq!(clock.now(), ahead);
        assert!(Clock::default().now() < ahead);
    }
}
