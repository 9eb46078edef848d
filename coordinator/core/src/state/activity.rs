//! What ran on a machine of late, hour by hour: a day of it, and no more.

use std::collections::BTreeMap;

use common::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};

const HOUR_MS: u64 = 3_600_000;
/// Hours before the one that goes on.
const KEPT: u64 = 24;

/// By the hour since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Activity {
    hours: BTreeMap<u64, Hour>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Hour {
    /// Tasks that ended in it.
    tasks: u32,
    /// Of all tasks together.
    busy_ms: u64,
}

impl Activity {
    /// Takes in a task that ran and ended.
    pub(crate) fn note(&mut self, started: Timestamp, ended: Timestamp) {
        let last = ended.unix_ms() / HOUR_MS;
        self.hours.entry(last).or_default().tasks += 1;
        let oldest = last.saturating_sub(KEPT) * HOUR_MS;
        let mut from = started.unix_ms().max(oldest);
        while from < ended.unix_ms() {
            let hour = from / HOUR_MS;
            let until = ((hour + 1) * HOUR_MS).min(ended.unix_ms());
            self.hours.entry(hour).or_default().busy_ms += until - from;
            from = until;
        }
        let newest = self.hours.keys().next_back().copied().unwrap_or(last);
        self.hours.retain(|hour, _| *hour + KEPT >= newest);
    }

    /// Returns since when the sums count: the beginning of an hour, a day ago.
    pub(crate) const fn since(now: Timestamp) -> Timestamp {
        let hour = now.unix_ms() / HOUR_MS;
        Timestamp::from_unix_ms(hour.saturating_sub(KEPT) * HOUR_MS)
    }

    /// Returns how many tasks ended since then, and how long tasks ran.
    pub(crate) fn sums(&self, now: Timestamp) -> (u64, Span) {
        let first = Self::since(now).unix_ms() / HOUR_MS;
        let hours = || self.hours.range(first..).map(|(_, hour)| hour);
        let busy_ms = hours().map(|hour| hour.busy_ms).sum();
        let tasks = hours().map(|hour| u64::from(hour.tasks)).sum();
        (tasks, Span::from_millis(busy_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_counts_and_what_was_before_is_forgotten() {
        let at = |hours: u64, minutes: u64| {
            Timestamp::from_unix_ms(1_000 * HOUR_MS + hours * HOUR_MS + minutes * 60_000)
        };
        let mut activity = Activity::default();
        activity.note(at(0, 10), at(0, 20));
        activity.note(at(0, 50), at(2, 30));
        assert_eq!(activity.sums(at(3, 0)), (2, Span::from_secs(110 * 60)));
        // Ten minutes of the long one were in the hour that is over.
        assert_eq!(activity.sums(at(25, 59)), (1, Span::from_secs(90 * 60)));
        assert_eq!(activity.sums(at(100, 0)), (0, Span::default()));
        // What ran for a week is a day.
        activity.note(at(0, 0), at(168, 0));
        assert_eq!(activity.sums(at(168, 0)), (1, Span::from_secs(24 * 3600)));
        assert!(activity.hours.len() <= 25);
    }
}
