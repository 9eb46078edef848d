//! Supervisors that wait for something to supervise: until a program of this size has begun, a job would wait as long
//! as its whole sandbox takes. Some are started ahead, and whose attempt is over waits for another.
//!
//! One that waits knows nothing and holds nothing, and ends with the daemon. What it becomes arrives as one
//! [`Handover`]. Called by `attempts`; whoever has no [`Supervisors`] starts each when it is wanted.

use std::{
    ffi::OsStr,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Mutex, MutexGuard, PoisonError},
};

use agent_core::sandbox_plan::SandboxPlan;
use tokio::process::{Child, Command};

use super::{
    ROLE,
    handle::{LaunchError, Supervisor},
    handover::{Given, Handover, channel, is_free},
    title,
};

/// What a supervisor is made of, where nothing else is asked for: this very program.
pub(super) const THIS_PROGRAM: &str = "/proc/self/exe";
/// Started ahead.
const READY: usize = 2;
/// Most that wait, those included that were used before.
const MOST: usize = 8;

/// A supervisor that waits for its attempt.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) child: Child,
    pub(super) to: OwnedFd,
    pub(super) readiness: Readiness,
}

/// Whether an attempt can be handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readiness {
    Ready,
    /// It can, and has a sandbox for one of the same job.
    Vacant,
    /// It takes down what its last attempt left.
    Busy,
    /// It has ended.
    Gone,
}

impl Waiting {
    /// Starts one. Must be called in a tokio runtime. `shown` is what lists of processes show of it.
    pub(super) fn start(program: &Path, shown: &OsStr) -> io::Result<Self> {
        let (command, to) = command(program, shown)?;
        let child = Command::from(command).spawn()?;
        Ok(Self {
            child,
            to,
            readiness: Readiness::Ready,
        })
    }

    /// Makes it an attempt's. An error is one that has ended meanwhile.
    pub(super) fn become_one(self, handover: &Handover) -> io::Result<Self> {
        handover.send(&self.to)?;
        Ok(Self {
            readiness: Readiness::Busy,
            ..self
        })
    }

    fn look(&mut self) -> Readiness {
        if self.readiness == Readiness::Busy {
            self.readiness = is_free(&self.to);
        }
        self.readiness
    }
}

/// A supervisor whose attempt has ended, with the sandbox that it may have left. Dropping it ends both.
#[derive(Debug)]
pub struct Staying(Waiting);

impl Staying {
    /// Returns whether another attempt can be handed over; `None` where none ever can.
    pub fn is_ready(&mut self) -> Option<bool> {
        match self.0.look() {
            Readiness::Ready | Readiness::Vacant => Some(true),
            Readiness::Busy => Some(false),
            Readiness::Gone => None,
        }
    }
}

/// Returns the command that starts a supervisor, to be started once, and where that hears what it is.
pub(super) fn command(
    program: &Path,
    shown: &OsStr,
) -> io::Result<(std::process::Command, OwnedFd)> {
    let (to, from) = channel()?;
    let mut command = std::process::Command::new(program);
    command
        .args([OsStr::new(ROLE), shown])
        .env_clear()
        .current_dir("/")
        .stdin(from)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Ok((command, to))
}

/// Starts the supervisors of one agent.
#[derive(Debug)]
pub struct Supervisors {
    program: PathBuf,
    /// The folder of the attempts' folders.
    attempts: PathBuf,
    waiting: Mutex<Vec<Waiting>>,
}

impl Supervisors {
    /// `program` is another than this one, where this one is not `compute-share`.
    pub fn new(program: Option<PathBuf>, attempts: PathBuf) -> Self {
        Self {
            program: program.unwrap_or_else(|| THIS_PROGRAM.into()),
            attempts,
            waiting: Mutex::default(),
        }
    }

    /// Starts the supervisor of the attempt in `dir`: the one that `stays`, or one that waits, where there is one.
    ///
    /// # Errors
    /// As for [`Supervisor::launch`].
    pub fn launch(
        &self,
        dir: &Path,
        plan: &SandboxPlan,
        given: Given,
        stays: Option<Staying>,
    ) -> Result<Supervisor, LaunchError> {
        Supervisor::launch_by(dir, plan, given, |handover| {
            if let Some(Staying(waiting)) = stays
                && let Ok(busy) = waiting.become_one(handover)
            {
                return Ok(busy);
            }
            while let Some(waiting) = self.take() {
                if let Ok(busy) = waiting.become_one(handover) {
                    return Ok(busy);
                }
            }
            let started = Waiting::start(&self.program, &title::unnamed(&self.attempts));
            let busy = started.and_then(|waiting| waiting.become_one(handover));
            busy.map_err(|source| LaunchError::Spawn {
                program: self.program.clone(),
                source,
            })
        })
    }

    /// Starts as many as should wait. Must be called in a tokio runtime. Blocks.
    pub fn refill(&self) {
        while self.free() < READY {
            match Waiting::start(&self.program, &title::unnamed(&self.attempts)) {
                Ok(waiting) => self.all().push(waiting),
                Err(error) => {
                    tracing::debug!(%error, "no supervisor can be started ahead");
                    return;
                }
            }
        }
    }

    /// Keeps one whose attempt has ended for another of the job, with its sandbox.
    pub fn stay(supervisor: Supervisor) -> Option<Staying> {
        supervisor.into_waiting().map(Staying)
    }

    /// Takes back one that was kept, without its sandbox.
    pub fn take_back_alone(&self, Staying(waiting): Staying) {
        self.add(waiting);
    }

    /// Takes back one whose attempt has ended, if it is of any more use.
    pub fn take_back(&self, supervisor: Supervisor) {
        if let Some(waiting) = supervisor.into_waiting() {
            self.add(waiting);
        }
    }

    fn add(&self, one: Waiting) {
        let mut waiting = self.all();
        if waiting.len() < MOST {
            waiting.push(one);
        }
    }

    /// Returns how many can take an attempt now.
    pub fn free(&self) -> usize {
        let waiting = self.looked_at();
        waiting
            .iter()
            .filter(|one| one.readiness == Readiness::Ready)
            .count()
    }

    fn take(&self) -> Option<Waiting> {
        let mut waiting = self.looked_at();
        let ready = waiting
            .iter()
            .position(|one| one.readiness == Readiness::Ready);
        ready.map(|index| waiting.swap_remove(index))
    }

    /// Returns those that live, with what they have said since.
    fn looked_at(&self) -> MutexGuard<'_, Vec<Waiting>> {
        let mut waiting = self.all();
        // A sandbox that nobody has asked for ends with its supervisor.
        waiting.retain_mut(|one| !matches!(one.look(), Readiness::Gone | Readiness::Vacant));
        waiting
    }

    fn all(&self) -> MutexGuard<'_, Vec<Waiting>> {
        let waiting = self.waiting.lock();
        waiting.unwrap_or_else(PoisonError::into_inner)
    }
}
