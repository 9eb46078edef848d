//! How a job is told to end: a signal and time to write down how far it is, where it can do that, SIGTERM, SIGKILL.

use std::time::Duration;

use common::{job::Checkpoint, status::EndReason, time::Span};

use super::{Watch, now};
use crate::sandbox::{jail::Jail, since_boot};

impl Watch<'_> {
    /// Ends the job because a limit was reached.
    pub(super) fn stop_for(&mut self, jail: &Jail, reason: EndReason, detail: String) {
        if self.kill_at.is_none() {
            // A log that cannot be written is told in the outcome as well.
            let _ = self.spool.say(now(), &detail);
            self.stop(jail, reason, Some(detail), self.plan.grace);
        }
    }

    pub(super) fn stop(
        &mut self,
        jail: &Jail,
        reason: EndReason,
        detail: Option<String>,
        grace: Span,
    ) {
        // Asked to end while it is held still, it could not.
        self.freeze(jail, false);
        // While its service is not there, it may be held still for want of limits. It has no use for a grace then.
        let grace = if jail.settle(&self.plan.limits, false) {
            grace
        } else {
            Span::from_secs(0)
        };
        let time = since_boot();
        let checkpoint = self.plan.checkpoint;
        let before = checkpoint.and_then(|one| before_term(one, reason, grace, self.plan.grace));
        let more = before.filter(|_| reason == EndReason::Preempted);
        let deadline = time
            .saturating_add(more.unwrap_or_default())
            .saturating_add(grace.as_duration());
        // Asking again may hasten the end, never put it off; the first reason stays.
        self.kill_at = Some(self.kill_at.map_or(deadline, |due| due.min(deadline)));
        let first = self.ending.program.is_none() && self.ending.stopped.is_none();
        if first {
            self.ending.stopped = Some((reason, detail));
        }
        match (checkpoint, before) {
            (Some(checkpoint), Some(before)) if first => {
                self.terminate_at = Some(time.saturating_add(before));
                let text = format!(
                    "SIG{} for a checkpoint; SIGTERM follows within {}",
                    checkpoint.signal,
                    Span::from(before)
                );
                self.note(vec![text]);
                jail.signal(checkpoint.signal);
            }
            (_, Some(before)) => {
                let due = time.saturating_add(before);
                self.terminate_at = self.terminate_at.map(|at| at.min(due));
            }
            (_, None) if first || self.terminate_at.is_some() => self.terminate(jail),
            (_, None) => {}
        }
    }

    pub(super) fn terminate(&mut self, jail: &Jail) {
        self.terminate_at = None;
        jail.terminate();
    }

    /// Ends a job at once that has no use for the time that it was given.
    pub(super) fn go_on_without_checkpoint(&mut self, jail: &Jail) {
        let Some(due) = self.terminate_at else {
            return;
        };
        let unused = due.saturating_sub(since_boot());
        self.kill_at = self.kill_at.map(|at| at.saturating_sub(unused));
        let signal = self.plan.checkpoint.map(|checkpoint| checkpoint.signal);
        let text = signal.map(|signal| format!("nothing in the job handles SIG{signal}"));
        self.note(text.into_iter().collect());
        self.terminate(jail);
    }
}

/// Returns how long a job that is to end for this reason has before SIGTERM; `None` where what it would write down is of no
/// use to anybody. What gives way to another job has all of its time; whatever else ends it says how long that may take.
fn before_term(
    checkpoint: Checkpoint,
    reason: EndReason,
    grace: Span,
    usual: Span,
) -> Option<Duration> {
    let (asked, grace) = (checkpoint.grace.as_duration(), grace.as_duration());
    let before = match reason {
        _ if grace.is_zero() => Duration::ZERO,
        EndReason::Preempted => asked,
        EndReason::MachineOwner
        | EndReason::MachineLost
        | EndReason::TimeLimit
        | EndReason::PeerEnded => asked.min(grace - usual.as_duration().min(grace / 2)),
        _ => Duration::ZERO,
    };
    (!before.is_zero()).then_some(before)
}

#[cfg(test)]
mod tests {
    use common::job::CheckpointSignal;

    use super::*;

    #[test]
    fn time_for_a_checkpoint_depends_on_who_waits() {
        let before = |reason, grace: u64, asked: u64| {
            let checkpoint = Checkpoint {
                signal: CheckpointSignal::Usr1,
                grace: Span::from_secs(asked),
            };
            let given = before_term(
                checkpoint,
                reason,
                Span::from_secs(grace),
                Span::from_secs(30),
            );
            given.map(|given| given.as_secs())
        };
        assert_eq!(before(EndReason::Preempted, 30, 120), Some(120));
        // Never more than half of what there is, where that is little.
        assert_eq!(before(EndReason::MachineOwner, 30, 120), Some(15));
        assert_eq!(before(EndReason::MachineOwner, 300, 120), Some(120));
        assert_eq!(before(EndReason::TimeLimit, 100, 120), Some(70));
        assert_eq!(before(EndReason::MachineOwner, 0, 120), None);
        assert_eq!(before(EndReason::Preempted, 0, 120), None);
        assert_eq!(before(EndReason::Cancelled, 30, 120), None);
        assert_eq!(before(EndReason::OutOfMemory, 30, 120), None);
    }
}
