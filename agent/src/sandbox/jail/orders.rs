//! What a supervisor has the sandbox's first process, or its cgroup, do.

use agent_core::sandbox_plan::Limits;
use common::job::CheckpointSignal;
use rustix::net::{SendFlags, send};

use super::Jail;
use crate::sandbox::{
    handled::number,
    note::{GO_ON, HOLD, SIGNAL, TERMINATE},
};

impl Jail {
    /// Asks everything in the sandbox to end.
    pub(crate) fn terminate(&self) {
        self.order(TERMINATE);
    }

    /// Sends a signal to what handles it there; where nothing does, that is an event.
    pub(crate) fn signal(&self, signal: CheckpointSignal) {
        self.order(SIGNAL | number(signal));
    }

    fn order(&self, order: u8) {
        // Where it is gone already, that is noticed elsewhere.
        let _ = send(&self.control, &[order], SendFlags::NOSIGNAL);
    }

    /// Holds everything in the sandbox still, or lets it go on.
    pub(crate) fn freeze(&self, frozen: bool) {
        if !self.cgroup.freeze(frozen).unwrap_or(false) {
            self.order(if frozen { HOLD } else { GO_ON });
        }
    }

    /// Sets limits and stillness once more, where somebody else took them away. Returns whether there are limits.
    pub(crate) fn settle(&self, limits: &Limits, frozen: bool) -> bool {
        // Where a limit cannot be set, the job stays as still as it was left.
        let limited = self.cgroup.set(limits).is_ok();
        if limited {
            let _ = self.cgroup.freeze(frozen);
        }
        limited
    }
}
