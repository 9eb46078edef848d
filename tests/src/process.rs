//! Processes that are watched by what they print, and never outlive the test.

use std::{
    fs::File,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// Longest that anything in a scenario may take before the test fails. Generous: the machine may be busy.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// Asks again and again until the answer is there.
///
/// # Panics
/// When [`DEADLINE`] passes first; `what` says what was waited for.
#[track_caller]
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begin.elapsed() < DEADLINE, "waited in vain for {what}");
        // Not a guess at how long something takes: it only lets the others have the processor.
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A running daemon, with its output in a file.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `command`, its output appended to `log`.
    pub fn spawn(mut command: Command, log: &Path) -> Self {
        let open = || {
            File::options()
                .create(true)
                .append(true)
                .open(log)
                .expect("the daemon's log opens")
        };
        command.stdin(Stdio::null()).stdout(open()).stderr(open());
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self {
            child,
            log: log.to_owned(),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns everything it has printed, over all its starts.
    pub fn printed(&self) -> String {
        // The folder may be gone already when a failed test takes everything down.
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// Asks it to end, and returns how it did.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    pub fn wait(&mut self) -> ExitStatus {
        until("a daemon to end", || {
            self.child.try_wait().expect("a child can be waited for")
        })
    }

    pub fn has_ended(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("a child can be waited for")
            .is_some()
    }

    pub fn signal(&mut self, signal: Signal) {
        if !self.has_ended() {
            let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
            let _gone_meanwhile = kill_process(pid.expect("a child has a pid"), signal);
        }
    }

    /// Returns the resident memory that is not backed by a file, in KiB.
    pub fn private_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .expect("a running process has a status");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"))
            .expect("RssAnon");
        line.trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("RssAnon is a number")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let ended = self.child.wait();
        if std::thread::panicking() {
            let signal = ended.ok().and_then(|status| status.signal());
            eprintln!(
                "--- {} (ended by {signal:?}) ---\n{}",
                self.log.display(),
                self.printed()
            );
        }
    }
}
