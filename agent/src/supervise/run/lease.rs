//! The attempt's lease, while there is no daemon that looks after it.

use std::{fs, time::Duration};

use common::status::EndReason;

use super::{Jail, Watch};
use crate::{lease_file::LeaseFile, sandbox::since_boot};

/// When to look again: somebody may have removed the agent meanwhile.
const LOOK: Duration = Duration::from_secs(10);

impl Watch<'_> {
    /// Ends the job with the lease where the daemon that would do so is gone: the task may be running elsewhere
    /// before another daemon comes. So it does where no daemon will ever come, because what it knew is gone.
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
        let agent = path.parent();
        if lease.is_none() && agent.is_some_and(|folder| fs::exists(folder).is_ok_and(|it| !it)) {
            self.alone_until = Some(Duration::MAX);
            let detail = "the agent and all that it kept were removed".to_owned();
            self.stop(jail, EndReason::MachineLost, Some(detail), self.plan.grace);
            return;
        }
        let left = lease.map_or(LOOK, |lease| lease.left(time));
        self.alone_until = Some(time.saturating_add(left.min(LOOK)));
        if let Some(lease) = lease.filter(|_| left.is_zero()) {
            self.alone_until = Some(Duration::MAX);
            let detail = "the machine had no contact with the coordinator for too long".to_owned();
            let grace = lease.last_grace(self.plan.grace);
            self.stop(jail, EndReason::MachineLost, Some(detail), grace);
        }
    }
}
