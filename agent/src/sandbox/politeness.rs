//! The owner's work first: how a job is made to wait for it where no cgroup weighs the two, and at the disks.
//!
//! Without a cgroup there are two things that the kernel may weigh by. Mostly it is every thread: one of the idle
//! policy has what is left over, and leaves that policy only by a right that no job has. But where the kernel
//! groups processes by session (`sched_autogroup_enabled`), it weighs sessions against each other, whatever their
//! threads are: then every session of a job is given the least weight, when it begins, by the sandbox's first
//! process, which hears of each new one before it is made.
//!
//! Called by `confine` and `init`, last of all: what is set here would slow the making of a sandbox.

mod calls;

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::fd::{AsFd as _, OwnedFd},
};

use agent_core::sandbox_plan::{Backend, Cgroup, SandboxPlan};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{DumpableBehavior, Pid, set_dumpable_behavior},
};

use super::confine;

use self::calls::SessionAsked;

/// The least weight that a thread or a session can have.
const NICEST: i32 = 19;
/// How often is looked whether a session that was let begin is there, and whether its weight can be set: the kernel
/// lets ordinary users change only ten a second, of all on the machine.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 10_000_000,
};
/// After so many looks nothing will come of it: the kernel has refused to make the session.
const MAX_LOOKS: u32 = 200;

/// Puts this process, and all that it will start, behind everybody else at the disks.
pub(super) fn wait_at_disks() -> io::Result<()> {
    // Kernels before 2.6.25 kept the idle class for root.
    calls::set_disk_class(calls::DISK_IDLE)
        .or_else(|_| calls::set_disk_class(calls::DISK_LEAST_OF_ORDINARY))
}

/// Gives this process's threads the least weight there is, in the process that becomes the job.
pub(super) fn wait_for_processor(plan: &SandboxPlan) -> io::Result<()> {
    if plan.cgroup != Cgroup::None {
        // Its weight is the cgroup's. Idle besides, it would be long in ending on a busy machine.
        return Ok(());
    }
    calls::set_niceness(NICEST)?;
    calls::set_idle_policy()
}

/// The sessions of one job, where each has a weight of its own.
#[derive(Debug)]
pub(super) struct Sessions {
    asked: OwnedFd,
    beginning: Option<Beginning>,
}

/// A session that was let begin and has not its weight yet.
#[derive(Debug)]
struct Beginning {
    process: Pid,
    before: i32,
    /// Opened before it was let: a process can close itself to this one later.
    weight: File,
    looks: u32,
}

impl Sessions {
    /// Begins to hear of new sessions; `None` where they have no weight, or the kernel cannot tell of them.
    /// What this process starts from now on is told of, and so is this process itself.
    pub(super) fn watch(plan: &SandboxPlan) -> Option<Self> {
        // What gVisor starts changes its user, so that nobody here could weigh it.
        let ours = !matches!(plan.backend, Backend::Runsc { .. });
        let weighed = fs::exists("/proc/self/autogroup").unwrap_or(false);
        if plan.cgroup != Cgroup::None || !ours || !weighed {
            return None;
        }
        let asked = calls::hear_of_sessions().ok()?;
        Some(Self {
            asked,
            beginning: None,
        })
    }

    /// Keeps a process's own weights from it: in the process that becomes the job, before its session begins.
    pub(super) fn keep_from_job() -> io::Result<()> {
        // Else the first process could not open what belongs to this one. There is nobody else yet who could.
        set_dumpable_behavior(DumpableBehavior::Dumpable)?;
        // Older kernels have no such means; there a job could put its own weight up.
        let _ = confine::close_proc();
        Ok(())
    }

    /// Waits until one of the others can be read from, and attends to sessions meanwhile. An error is as good as
    /// something to read: whoever reads finds out.
    pub(super) fn wait<'a>(sessions: Option<&mut Self>, others: &mut [PollFd<'a>]) {
        let Some(sessions) = sessions else {
            let _ = poll(others, None);
            return;
        };
        loop {
            let mut all: Vec<PollFd<'_>> = others
                .iter()
                .map(|other| PollFd::from_borrowed_fd(other.as_fd(), PollFlags::IN))
                .collect();
            let timeout = match sessions.beginning {
                // One after the other, so that no job has more unweighed sessions than one.
                Some(_) => Some(&LOOK),
                None => {
                    all.push(PollFd::new(&sessions.asked, PollFlags::IN));
                    None
                }
            };
            let ready = poll(&mut all, timeout);
            let is_ready = |polled: &PollFd<'_>| !polled.revents().is_empty();
            let asks = all.get(others.len()).is_some_and(is_ready);
            let others_ready = all.iter().take(others.len()).any(is_ready);
            drop(all);
            if asks {
                sessions.answer();
            }
            sessions.weigh();
            if ready.is_err() || others_ready {
                // Once more for its own sake: the answers belong in what the caller passed.
                let _ = poll(others, Some(&Timespec::default()));
                return;
            }
        }
    }

    fn answer(&mut self) {
        let Ok(asked) = calls::session_asked(self.asked.as_fd()) else {
            return;
        };
        self.beginning = self.let_begin(&asked);
    }

    fn let_begin(&self, asked: &SessionAsked) -> Option<Beginning> {
        let answer = |errno| calls::answer_session(self.asked.as_fd(), asked, errno).is_ok();
        let process = asked.process?;
        let path = format!("/proc/{}/autogroup", process.as_raw_nonzero());
        let weight = File::options().write(true).open(path);
        let (Ok(weight), Ok(before)) = (weight, calls::session_of(process)) else {
            // What cannot be weighed does not begin.
            answer(libc::EPERM);
            return None;
        };
        if calls::leads_group(process) {
            // As the kernel would say itself.
            answer(libc::EPERM);
            return None;
        }
        // Where a signal came between, it asks again.
        answer(0).then_some(Beginning {
            process,
            before,
            weight,
            looks: 0,
        })
    }

    fn weigh(&mut self) {
        let Some(beginning) = &mut self.beginning else {
            return;
        };
        beginning.looks += 1;
        let over = match calls::session_of(beginning.process) {
            Ok(session) if session == beginning.before => false,
            Ok(_) => match beginning.weight.write(NICEST.to_string().as_bytes()) {
                // Somebody else's turn; looked at again until it is this one's.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                _ => true,
            },
            Err(_) => true,
        };
        if over || beginning.looks > MAX_LOOKS {
            self.beginning = None;
        }
    }
}
