//! An attempt's hold on its GPUs: taken before it is launched, let go once they are seen free again.

use std::{collections::BTreeMap, time::Duration};

use agent_core::sandbox_plan::GpuFiles;
use common::{id::AttemptId, resources::Allocation, units::Bytes};
use tokio::{sync::watch, time::sleep};

use super::{Gpus, unfit};
use crate::clock;

/// Looks at a GPU that is not free yet, and the pause between them: after an attempt, before its end is told; and
/// before an attempt, for what the one before it left.
const LOOKS_AFTER: u32 = 10;
const LOOKS_BEFORE: u32 = 100;
const PAUSE: Duration = Duration::from_millis(200);

/// See the module. Dropping it lets go at once, without a look.
#[derive(Debug)]
pub(crate) struct Hold {
    held: Option<(Gpus, AttemptId)>,
    told: Option<watch::Receiver<Option<String>>>,
}

impl Hold {
    pub(super) const fn of_nothing() -> Self {
        Self {
            held: None,
            told: None,
        }
    }

    pub(super) const fn new(
        gpus: Gpus,
        attempt: AttemptId,
        told: watch::Receiver<Option<String>>,
    ) -> Self {
        Self {
            held: Some((gpus, attempt)),
            told: Some(told),
        }
    }

    /// Waits until the attempt has used more than its share, and returns what to say of it. Comes once; may be
    /// cancelled.
    pub(crate) async fn overuse(&mut self) -> String {
        let detail = match &mut self.told {
            Some(told) => told.wait_for(Option::is_some).await.ok(),
            None => None,
        };
        if let Some(detail) = detail.and_then(|detail| detail.clone()) {
            self.told = None;
            return detail;
        }
        std::future::pending().await
    }

    /// Lets go after the attempt's end, waiting a moment for the GPUs to be free. Returns the most memory that was
    /// seen used. From here on what it left is a leftover.
    pub(crate) async fn let_go(mut self) -> Option<Bytes> {
        let (gpus, attempt) = self.held.take()?;
        let holding = gpus.let_go(attempt)?;
        gpus.wait_for(&holding.allocation, LOOKS_AFTER).await;
        holding.peak
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some((gpus, attempt)) = self.held.take() {
            gpus.let_go(attempt);
        }
    }
}

impl Gpus {
    /// Waits a while for the GPUs of an attempt that is about to run to be fit, and returns what it needs of the
    /// machine to use them.
    ///
    /// # Errors
    /// Why they are not, for people.
    pub(crate) async fn ready(
        &self,
        allocation: &Allocation,
    ) -> Result<BTreeMap<String, GpuFiles>, String> {
        if allocation.gpus.is_empty() {
            return Ok(BTreeMap::new());
        }
        if let Some(why) = self.wait_for(allocation, LOOKS_BEFORE).await {
            return Err(why);
        }
        let gpus = self.clone();
        let files = tokio::task::spawn_blocking(move || gpus.files()).await;
        let files = files.map_err(|error| error.to_string())?;
        match allocation.gpus.iter().find(|gpu| !files.contains_key(*gpu)) {
            Some(gpu) => Err(format!("{gpu} has no device node")),
            None => Ok(files),
        }
    }

    /// Looks until these GPUs are fit to be lent; returns why they are not where that takes too long.
    async fn wait_for(&self, allocation: &Allocation, looks: u32) -> Option<String> {
        let mut why = None;
        for _ in 0..looks {
            let gpus = self.clone();
            let look = move || gpus.look(clock::since_boot(), false);
            let seen = tokio::task::spawn_blocking(look).await.unwrap_or_default();
            why = unfit(&seen, &allocation.gpus);
            why.as_ref()?;
            sleep(PAUSE).await;
        }
        why
    }
}
