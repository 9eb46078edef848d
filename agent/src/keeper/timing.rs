//! When the keeper looks at the clock, and what it does then.

use std::time::Duration;

use super::{Keeper, held::Held};
use crate::{clock, journal::JournalError};

/// Longest time without a look at the clock while something depends on it: the machine may have slept.
const TICK: Duration = Duration::from_secs(10);
/// How long the ends of attempts may take to be said before the agent ends anyway.
const FAREWELL: Duration = Duration::from_secs(3);

impl Keeper {
    /// Returns how long to wait for the clock; `None` while nothing depends on it.
    pub(super) fn next_tick(&self) -> Option<Duration> {
        let lease = self
            .held
            .values()
            .any(Held::outlasts_lease)
            .then(|| self.lease.left(clock::since_boot()));
        let pauses = self.paused.iter().chain(self.paused_gpus.values());
        let pause = pauses
            .filter_map(|pause| pause.until)
            .map(|until| until.since(clock::now()))
            .min();
        let farewell = self.ending.as_ref().map(|_| FAREWELL);
        let least = Duration::from_millis(10);
        [lease, pause, farewell, self.decision.again]
            .into_iter()
            .flatten()
            .min()
            .map(|wait| wait.clamp(least, TICK))
    }

    pub(super) async fn on_tick(&mut self) -> Result<(), JournalError> {
        if self.lease.is_over(clock::since_boot()) {
            self.end_with_lease();
        }
        self.end_pauses().await?;
        self.decide();
        if self.ending.is_some() && !self.anything_runs() {
            self.end();
        }
        Ok(())
    }
}
