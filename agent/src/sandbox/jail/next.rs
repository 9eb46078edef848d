//! A sandbox that stays when its task has ended, and another task that begins in it.

use std::{
    fs::File,
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
    time::Duration,
};

use agent_core::sandbox_plan::SandboxPlan;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
};

use super::{Jail, Output, streams, user::hand_over};
use crate::sandbox::{
    cgroup::{AttemptCgroup, Counted, Peak},
    init::{Failed, at},
    note::NEXT,
};

/// Longest that the first process may take to remove what a task left in memory.
const TIDYING: Timespec = Timespec {
    tv_sec: 5,
    tv_nsec: 0,
};
/// Files that go along with the word that another task may begin.
const HANDED: usize = 4;

/// What earlier tasks in a sandbox took: its counters go on.
#[derive(Debug)]
pub(super) struct Before {
    counted: Counted,
    peak: Peak,
}

impl Before {
    pub(super) fn counted_since(&self, cgroup: &AttemptCgroup) -> Counted {
        cgroup.counted_since(self.counted, &self.peak)
    }

    /// Returns how much of this processor time came later.
    pub(super) fn rest_of(&self, cpu: Duration) -> Duration {
        cpu.saturating_sub(self.counted.cpu.unwrap_or_default())
    }
}

impl Jail {
    /// Waits until nothing is left of the task that ended; returns whether another can begin here, and be counted by
    /// itself.
    pub(crate) fn becomes_vacant(&mut self) -> bool {
        while !self.vacant {
            let mut waiting = [
                PollFd::new(&self.control, PollFlags::IN),
                PollFd::new(&self.pidfd, PollFlags::IN),
            ];
            let ready = match poll(&mut waiting, Some(&TIDYING)) {
                Ok(ready) => ready > 0,
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => false,
            };
            let ended = !waiting[1].revents().is_empty();
            self.event();
            if !ready || ended && !self.vacant {
                return false;
            }
        }
        let Ok(peak) = self.cgroup.forget_peak() else {
            return false;
        };
        let counted = self.cgroup.counted();
        self.before = Some(Before { counted, peak });
        true
    }

    /// Starts another task in it, which is vacant. Its plan is read again there.
    pub(crate) fn begin_next(
        &mut self,
        plan: &SandboxPlan,
        plan_file: &Path,
        lock: BorrowedFd<'_>,
    ) -> Result<Output, Failed> {
        let ([stdout, stderr], [job_stdout, job_stderr]) = streams(plan)?;
        hand_over(plan)?;
        let file = File::open(plan_file).map_err(at("read the plan"))?;
        let handed = [lock, job_stdout.as_fd(), job_stderr.as_fd(), file.as_fd()];
        self.hand(&handed).map_err(at("begin in the sandbox"))?;
        (self.all_took, self.vacant) = (None, false);
        Ok(Output {
            stdout,
            stderr,
            network: None,
            lazy: Vec::new(),
        })
    }

    fn hand(&self, files: &[BorrowedFd<'_>; HANDED]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(HANDED))];
        let mut handed = SendAncillaryBuffer::new(&mut space);
        handed.push(SendAncillaryMessage::ScmRights(files));
        let word = [IoSlice::new(&[NEXT])];
        sendmsg(&self.control, &word, &mut handed, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}
