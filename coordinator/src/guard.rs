//! The doors' guard over codes: looks at one, counts what is wrong, and keeps what has to outlive a restart.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use common::{code::Code, id::CodeDigest, problem::Problem, time::Timestamp};

use crate::{
    desk::{Desk, blocking},
    kept::Kept,
    mint,
    rate::{Guess, WrongTries},
};

/// Least time between two writes because of what strangers do, in milliseconds.
const BETWEEN_WRITES_MS: u64 = 1000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Guard {
    tries: WrongTries,
    data: PathBuf,
    /// Something changed since the last write.
    changed: AtomicBool,
    written_ms: AtomicU64,
}

impl Guard {
    /// Returns the guard as it was kept.
    pub(crate) fn new(data: &Path, kept: &Kept) -> Self {
        Self {
            tries: WrongTries::with(&kept.closures),
            data: data.to_owned(),
            changed: AtomicBool::new(false),
            written_ms: AtomicU64::new(0),
        }
    }
}

impl Desk {
    /// Looks at a code or a link's secret with `look`, unless whoever brings it has to wait.
    ///
    /// # Errors
    /// They have to wait; or what `look` says.
    pub(crate) async fn look_at_code<T>(
        &self,
        from: IpAddr,
        written: &str,
        look: impl FnOnce(CodeDigest) -> Result<T, Problem> + Send,
    ) -> Result<T, Problem> {
        let (guess, now) = (mint::guess(written), self.now());
        let closed = self.guard.tries.closed(from, guess, now);
        let wait = |why| Problem::new(Code::TooManyTries, "The code was not looked at", why);
        if let (Some(why), Guess::Code) = (closed, guess) {
            return Err(wait(why));
        }
        let looked_at = match mint::digest(written) {
            Some(code) => look(code),
            None => Err(coordinator_core::Rejection::CodeInvalid.into()),
        };
        match &looked_at {
            Err(problem) if problem.code == Code::CodeInvalid => {
                // A right link would have let in whoever has to wait.
                if let Some(why) = closed {
                    return Err(wait(why));
                }
                if self.guard.tries.record(from, guess, now) {
                    self.keep_soon(now).await;
                }
            }
            // Whoever was told so is told so after a restart, whatever the clock says then.
            Err(problem) if problem.code == Code::CodeExpired => self.keep_soon(now).await,
            _ => {}
        }
        looked_at
    }

    /// Checks that an address may bring another secret than a code.
    ///
    /// # Errors
    /// It was wrong too often.
    pub(crate) fn may_try(&self, from: IpAddr) -> Result<(), Problem> {
        let closed = self.guard.tries.closed(from, Guess::Secret, self.now());
        let wait = |why| Problem::new(Code::TooManyTries, "The secret was not looked at", why);
        closed.map_or(Ok(()), |why| Err(wait(why)))
    }

    /// Counts a secret other than a code that was wrong.
    pub(crate) async fn tried_wrongly(&self, from: IpAddr) {
        let now = self.now();
        if self.guard.tries.record(from, Guess::Secret, now) {
            self.keep_soon(now).await;
        }
    }

    /// Writes down what outlives the process, now; or within a second, where that was done just before.
    async fn keep_soon(&self, now: Timestamp) {
        self.guard.changed.store(true, Ordering::Relaxed);
        let written = self.guard.written_ms.load(Ordering::Relaxed);
        if now.unix_ms().saturating_sub(written) >= BETWEEN_WRITES_MS {
            self.keep().await;
        }
    }

    /// Returns whether something waits to be written down.
    pub(crate) fn is_to_keep(&self) -> bool {
        self.guard.changed.load(Ordering::Relaxed)
    }

    /// Writes down what outlives the process.
    pub(crate) async fn keep(&self) {
        let at = self.now();
        self.guard.changed.store(false, Ordering::Relaxed);
        self.guard.written_ms.store(at.unix_ms(), Ordering::Relaxed);
        let kept = Kept {
            at,
            system_at: Some(self.clock.latest_system()),
            closures: self.guard.tries.closures(at),
        };
        let data = self.guard.data.clone();
        let saved = blocking(move || kept.save(&data)).await;
        if let Err(error) = saved {
            tracing::warn!(%error, "what should outlive a restart was not written");
        }
    }
}
