//! What an attempt leaves when it is over: its result, in its folder and with whoever listens.

use std::{fs, io, time::Duration};

use common::{job::AttemptUsage, status::EndReason};

use super::{AttemptFolder, Consumed, Report, SandboxResult, Watch, now, since_boot};

/// The result that an attempt leaves, in its file.
pub(super) struct Left(fs::File);

impl Left {
    /// Sees to it that it outlives the machine's fall: whoever has heard of it may not have told the coordinator yet.
    pub(super) fn keep(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

impl Watch<'_> {
    /// Leaves the result and tells everybody.
    pub(super) fn conclude(
        mut self,
        folder: &AttemptFolder,
        consumed: Consumed,
    ) -> io::Result<Left> {
        let wall = self.started.map_or(Duration::ZERO, |(_, began)| {
            since_boot().saturating_sub(began)
        });
        let usage = AttemptUsage {
            wall: wall.into(),
            cpu: consumed.cpu.into(),
            peak_memory: consumed.peak_memory,
            frozen: self.frozen.total(since_boot()).into(),
            sent: self.gateway.moved().sent,
            received: self.gateway.moved().received,
            peak_disk: self.started.map(|_| self.disk.last().peak),
            ..AttemptUsage::default()
        };
        let at = now();
        self.ending.disk_full = self.disk.last().full;
        let so_far = self.so_far();
        let mut outcome = self.ending.outcome(self.plan, usage, 0);
        let said = [EndReason::PrepareFailed, EndReason::OutOfMemory].contains(&outcome.reason);
        if let Some(detail) = outcome.detail.as_ref().filter(|_| said) {
            let _ = self.spool.say(at, detail);
        }
        outcome.log_bytes = self.spool.bytes();
        let result = SandboxResult {
            started_at: self.started.map(|(at, _)| at),
            at,
            outcome,
        };
        let file = folder.write_result(&result)?;
        // Whoever came in the last moment hears it as well.
        self.visitors.serve(&so_far);
        self.visitors.part(&Report::Ended(result));
        Ok(Left(file))
    }
}
