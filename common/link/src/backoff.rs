//! How long to wait before trying again: longer every time up to a bound, and by chance, so that many clients do
//! not all come back at the same moment.

use std::time::Duration;

use rand::Rng as _;

/// Waits with full jitter: each is anywhere between nothing and a bound that doubles.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    bound: Duration,
}

impl Backoff {
    /// Begins with waits of up to `first`; none is ever longer than `most`.
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            bound: first,
        }
    }

    /// Returns how long to wait now.
    #[expect(
        clippy::should_implement_trait,
        reason = "it never ends, so an Option at every call would say less"
    )]
    pub fn next(&mut self) -> Duration {
        let bound = self.bound.min(self.most);
        self.bound = bound.saturating_mul(2);
        bound.mul_f64(rand::rng().random::<f64>())
    }

    /// Begins again with short waits, after something worked.
    pub const fn reset(&mut self) {
        self.bound = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_within_a_bound_that_doubles_and_is_capped() {
        let (first, most) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut backoff = Backoff::new(first, most);
        for bound in [100, 200, 400, 800, 1000, 1000, 1000] {
            assert!(backoff.next() <= Duration::from_millis(bound));
            assert_eq!(
                backoff.bound,
                Duration::from_millis(bound * 2),
                "the next bound"
            );
        }
        backoff.reset();
        assert!(backoff.next() <= first);
    }

    #[test]
    fn waits_differ() {
        let hour = Duration::from_secs(3600);
        let waits: std::collections::BTreeSet<Duration> =
            (0..8).map(|_| Backoff::new(hour, hour).next()).collect();
        assert!(waits.len() > 1);
    }

    #[test]
    fn a_bound_that_was_doubled_for_days_does_not_overflow() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::MAX);
        for _ in 0..200 {
            assert!(backoff.next() <= Duration::MAX);
        }
    }
}
