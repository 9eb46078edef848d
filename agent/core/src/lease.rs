//! The lease: how long this machine may go on without having heard from the coordinator.
//!
//! Moments are spans since the machine's boot on a clock that goes on while it sleeps, so that a laptop that
//! wakes after a night knows that its lease is over. A renewal counts from when the question was sent, not from
//! when its answer came: the coordinator's own clock for this machine started no earlier.

use std::time::Duration;

use common::time::Span;

/// Longest wait between SIGTERM and SIGKILL once a lease is over, whatever a job asks for. The coordinator places
/// the task again a margin after the lease: the lease's own length, 60 seconds at most. Half of that is for the
/// job, the rest for what comes after it.
const MAX_LAST_GRACE: Duration = Duration::from_secs(30);

/// A lease that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    length: Duration,
    renewed_at: Duration,
}

impl Lease {
    /// Returns a lease of `length` that was renewed at `renewed_at`.
    pub const fn new(length: Duration, renewed_at: Duration) -> Self {
        Self { length, renewed_at }
    }

    pub const fn length(&self) -> Duration {
        self.length
    }

    pub const fn renewed_at(&self) -> Duration {
        self.renewed_at
    }

    /// Renews the lease by an answer to something sent at `sent_at`. Answers that come late or out of order
    /// never shorten it.
    pub fn renew(&mut self, sent_at: Duration) {
        self.renewed_at = self.renewed_at.max(sent_at);
    }

    /// Takes the length that the coordinator now gives.
    pub fn resize(&mut self, length: Duration) {
        self.length = length;
    }

    /// Returns how long it still runs at `now`, zero once it is over.
    pub fn left(&self, now: Duration) -> Duration {
        (self.renewed_at.saturating_add(self.length)).saturating_sub(now)
    }

    pub fn is_over(&self, now: Duration) -> bool {
        self.left(now).is_zero()
    }

    /// Returns the grace of a job that the lease's end ends: its own, unless that would last until the coordinator
    /// has the job run elsewhere.
    pub fn last_grace(&self, own: Span) -> Span {
        let most = MAX_LAST_GRACE.min(self.length / 2);
        own.as_duration().min(most).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn an_attempt_is_over_before_its_task_may_run_elsewhere() {
        let grace = |length, own| {
            let lease = Lease::new(secs(length), secs(10));
            lease.last_grace(Span::from_secs(own)).as_duration()
        };
        assert_eq!(grace(300, 10), secs(10));
        assert_eq!(grace(300, 3600), secs(30));
        assert_eq!(grace(6, 30), secs(3));
        assert_eq!(grace(0, 30), secs(0));
        for length in 0..200 {
            let margin = secs(length.min(60));
            assert!(
                grace(length, u64::MAX / 1000) <= margin / 2,
                "lease of {length} s"
            );
        }
    }

    #[test]
    fn a_lease_runs_from_the_sending_of_the_last_answered_question() {
        let mut lease = Lease::new(secs(300), secs(10));
        assert!(!lease.is_over(secs(309)));
        assert!(lease.is_over(secs(310)));
        lease.renew(secs(100));
        assert_eq!(lease.left(secs(150)), secs(250));
        lease.renew(secs(50));
        assert_eq!(
            lease.left(secs(150)),
            secs(250),
            "a late answer shortens nothing"
        );
        assert!(
            lease.is_over(secs(100 + 8 * 3600)),
            "a night asleep ends it"
        );
        lease.resize(Duration::MAX);
        assert!(!lease.is_over(secs(1_000_000)));
    }
}
