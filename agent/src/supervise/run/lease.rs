//! The attempt's lease, while there is no daemon that looks after it.

use std::time::Duration;

use common::status::EndReason;

use super::{Jail, Watch};
use crate::{lease_file::LeaseFile, sandbox::since_boot};

/// When to look for a lease again that cannot be read.
const LEASE_UNKNOWN: Duration = Duration::from_secs(10);

impl Watch<'_> {
    /// Ends the job with the lease where the daemon that would do so is gone: the task may be running elsewhere
    /// before another daemon comes.
    pub(super) fn keep_lease(&mut self, jail: &Jail) {
        let Some(path) = self
            .plan
            .lease
            .as_ref()
            .filter(|_| self.visitors.is_empty())
        else {
            self.alone_until = None;
            return;
        };
        let time = since_boot();
        if self.alone_until.is_some_and(|until| time < until) {
            return;
        }
        let lease = LeaseFile::new(path.clone()).read();
        let left = lease.map_or(LEASE_UNKNOWN, |lease| lease.left(time));
        self.alone_until = Some(time.saturating_add(left));
        if let Some(lease) = lease.filter(|_| left.is_zero()) {
            self.alone_until = Some(Duration::MAX);
            let detail = "the machine had no contact with the coordinator for too long".to_owned();
            let grace = lease.last_grace(self.plan.grace);
            self.stop(jail, EndReason::MachineLost, Some(detail), grace);
        }
    }
}
