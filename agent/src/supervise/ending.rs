//! Which of the things that happened is why an attempt ended.

use agent_core::sandbox_plan::SandboxPlan;
use common::{
    job::{AttemptUsage, Outcome},
    status::EndReason,
};

use crate::sandbox::jail::JailEvent;

/// What is known when nothing of the attempt runs any more.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending {
    /// The job's own end, where the sandbox lived to tell.
    pub(super) program: Option<JailEvent>,
    /// Why it was told to end, where it was before it did by itself.
    pub(super) stopped: Option<(EndReason, Option<String>)>,
    /// Whether the kernel killed something for want of memory.
    pub(super) out_of_memory: bool,
    /// Whether nothing more can be written to the attempt's own disk.
    pub(super) disk_full: bool,
}

impl Ending {
    /// Returns what to report.
    pub(super) fn outcome(
        self,
        plan: &SandboxPlan,
        usage: AttemptUsage,
        log_bytes: u64,
    ) -> Outcome {
        let (exit_code, signal) = match self.program {
            Some(JailEvent::Exited(code)) => (Some(code), None),
            Some(JailEvent::Signalled(signal)) => (None, Some(signal)),
            // The sandbox's first process was killed, and with it everything.
            None => (None, Some(libc::SIGKILL)),
            _ => (None, None),
        };
        // Also where the program itself went on to its end after the kernel had killed a part of it.
        let signal = if self.out_of_memory {
            signal.or(Some(libc::SIGKILL))
        } else {
            signal
        };
        let (reason, exit_code, detail) = self.reason(plan, exit_code);
        Outcome {
            reason,
            exit_code,
            signal,
            detail,
            usage,
            log_bytes,
        }
    }

    fn reason(
        self,
        plan: &SandboxPlan,
        exit_code: Option<i32>,
    ) -> (EndReason, Option<i32>, Option<String>) {
        let name = plan.command.first().map_or("", String::as_str);
        let not_prepared = |code, detail| (EndReason::PrepareFailed, code, Some(detail));
        match self.program {
            Some(JailEvent::Failed(text)) => return not_prepared(None, text),
            Some(JailEvent::NotFound) => {
                let detail = format!("program not found in the sandbox: {name}");
                return not_prepared(Some(127), detail);
            }
            Some(JailEvent::NotExecutable(errno)) => {
                let why = match errno {
                    libc::ENOENT => "the interpreter that it names is not there".to_owned(),
                    errno => std::io::Error::from_raw_os_error(errno).to_string(),
                };
                return not_prepared(Some(126), format!("cannot run {name}: {why}"));
            }
            _ => {}
        }
        if let Some((reason, detail)) = self.stopped {
            (reason, exit_code, detail)
        } else if self.out_of_memory {
            // Whichever process of the job was ended: a shell exits with 0 although its pipe lost a part, and
            // with cgroup v2 the kernel ends them all. The code of what was left says nothing.
            let detail = format!("more memory was needed than {}", plan.limits.memory);
            (EndReason::OutOfMemory, None, Some(detail))
        } else if exit_code.is_some() {
            // The job was told so itself, and may have said something less clear.
            let full = self.disk_full && exit_code != Some(0);
            let detail = full.then(|| format!("its disk of {} is full", plan.limits.disk));
            (EndReason::Exited, exit_code, detail)
        } else {
            (EndReason::Signalled, None, None)
        }
    }
}
