//! How long an attempt has been held still, which its time limit does not count.

use std::time::Duration;

/// Times are since boot.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Frozen {
    since: Option<Duration>,
    /// What earlier holds came to.
    before: Duration,
}

impl Frozen {
    /// Takes note of a change; returns whether it is one.
    pub(super) fn set(&mut self, frozen: bool, time: Duration) -> bool {
        if frozen == self.is_now() {
            return false;
        }
        self.before = self.total(time);
        self.since = frozen.then_some(time);
        true
    }

    pub(super) const fn is_now(&self) -> bool {
        self.since.is_some()
    }

    /// Returns how long it was frozen altogether.
    pub(super) fn total(&self, time: Duration) -> Duration {
        let now = self
            .since
            .map_or(Duration::ZERO, |since| time.saturating_sub(since));
        self.before + now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_add_up_and_repeating_one_changes_nothing() {
        let at = Duration::from_secs;
        let mut frozen = Frozen::default();
        assert!(!frozen.set(false, at(1)));
        assert!(frozen.set(true, at(10)) && frozen.is_now());
        assert!(!frozen.set(true, at(12)));
        assert_eq!(frozen.total(at(15)), at(5));
        assert!(frozen.set(false, at(16)) && !frozen.is_now());
        assert!(frozen.set(true, at(20)));
        assert_eq!(frozen.total(at(21)), at(7));
    }
}
