//! The daemon's side of a supervisor: start one, find one again, hear of it, stop it.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use agent_core::sandbox_plan::SandboxPlan;
use common::{
    status::EndReason,
    time::{Span, Timestamp},
    usage::UsageSample,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    task::JoinHandle,
};

use super::{
    ahead::{THIS_PROGRAM, Waiting, command},
    folder::AttemptFolder,
    handover::{Given, Handover},
    protocol::{Order, Report, SandboxResult, decode, encode},
};
use crate::sandbox::reap_cgroup;

/// How often a supervisor that has told the result and still lives is looked at again; how long after the first time,
/// and at most.
const CLEAR_TRIES: u32 = 100;
const CLEAR_PAUSE: Duration = Duration::from_millis(2);
const CLEAR_MOST_PAUSE: Duration = Duration::from_millis(100);

/// An attempt's supervisor, while it lives and a little beyond. Dropping this leaves it alone.
#[derive(Debug)]
pub struct Supervisor {
    folder: AttemptFolder,
    /// `None` once the supervisor does not answer any more, so that only its result is waited for.
    stream: Option<UnixStream>,
    received: Vec<u8>,
    ending: Option<JoinHandle<io::Result<SupervisorEvent>>>,
    ended: bool,
    /// Its process, which the runtime reaps, and by which it is handed another attempt; `None` where an earlier daemon
    /// started it.
    process: Option<Waiting>,
}

/// What a supervisor tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SupervisorEvent {
    /// The program runs. Said once by each supervisor, and again after it was adopted.
    Started { at: Timestamp },
    /// The log is so long now.
    Logged { bytes: u64 },
    /// It uses so much now.
    Used(UsageSample),
    /// Nothing of the job runs any more; its supervisor is about to take the sandbox down. The last event.
    Ended(SandboxResult),
    /// The supervisor was killed, and with it everything in the sandbox. The last event.
    Died,
}

/// What became of an attempt that an earlier daemon started.
#[derive(Debug)]
pub enum Adopted {
    Running(Supervisor),
    Ended(SandboxResult),
    /// Nothing of it ever ran, and nothing will.
    NeverStarted,
    /// The program ran, and its supervisor is gone without a result. Nothing of it runs any more.
    Died,
}

/// Why a supervisor could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("a supervisor for {} runs already", .0.display())]
    Running(PathBuf),
    #[error("cannot prepare {}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("cannot run {}", program.display())]
    Spawn { program: PathBuf, source: io::Error },
}

/// Why an attempt's folder could not be looked at.
#[derive(Debug, thiserror::Error)]
#[error("cannot look at the attempt in {}", path.display())]
pub struct AdoptError {
    path: PathBuf,
    source: io::Error,
}

impl Supervisor {
    /// Starts the supervisor of the attempt in `dir`, with this very program. The folders of the plan exist.
    ///
    /// Must be called in a tokio runtime.
    ///
    /// # Errors
    /// Nothing was started.
    pub fn launch(dir: &Path, plan: &SandboxPlan) -> Result<Self, LaunchError> {
        Self::launch_given(None, dir, plan, Given::default())
    }

    /// Does the same with another program file, for daemons that run inside one that is not `compute-share`.
    ///
    /// # Errors
    /// Nothing was started.
    pub fn launch_with(
        program: &Path,
        dir: &Path,
        plan: &SandboxPlan,
    ) -> Result<Self, LaunchError> {
        Self::launch_given(Some(program), dir, plan, Given::default())
    }

    /// Does the same for an attempt that is given more.
    ///
    /// # Errors
    /// Nothing was started.
    pub fn launch_given(
        program: Option<&Path>,
        dir: &Path,
        plan: &SandboxPlan,
        given: Given,
    ) -> Result<Self, LaunchError> {
        let program = program.unwrap_or(Path::new(THIS_PROGRAM));
        Self::launch_by(dir, plan, given, |handover| {
            let started = Waiting::start(program, dir.as_os_str());
            let busy = started.and_then(|waiting| waiting.become_one(handover));
            busy.map_err(|source| LaunchError::Spawn {
                program: program.to_owned(),
                source,
            })
        })
    }

    /// Does the same with a process that `start` makes the attempt's supervisor.
    pub(super) fn launch_by(
        dir: &Path,
        plan: &SandboxPlan,
        given: Given,
        start: impl FnOnce(&Handover) -> Result<Waiting, LaunchError>,
    ) -> Result<Self, LaunchError> {
        let failed = |source| LaunchError::Folder {
            path: dir.to_owned(),
            source,
        };
        let folder = AttemptFolder::open(dir).map_err(failed)?;
        let handover = prepare(&folder, plan, given)?;
        let stream = folder
            .connect()
            .and_then(UnixStream::from_std)
            .map_err(failed)?;
        let process = start(&handover)?;
        Ok(Self::new(folder, Some(stream), Some(process)))
    }

    /// Returns what can be handed another attempt, once this one has ended well.
    pub(super) fn into_waiting(self) -> Option<Waiting> {
        self.process.filter(|_| self.ended && self.stream.is_some())
    }

    /// Finds out what became of the attempt in `dir`. What an ended one left in the kernel is removed.
    ///
    /// Must be called in a tokio runtime.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn adopt(dir: &Path) -> Result<Adopted, AdoptError> {
        let adopt = || {
            let folder = AttemptFolder::open(dir)?;
            if folder.try_lock()?.is_none() {
                // Where nobody listens any more, it is about to end.
                let stream = folder.connect().and_then(UnixStream::from_std).ok();
                return Ok(Adopted::Running(Self::new(folder, stream, None)));
            }
            Ok(match verdict(&folder)? {
                SupervisorEvent::Ended(result) => Adopted::Ended(result),
                _ if folder.has_started() => Adopted::Died,
                _ => Adopted::NeverStarted,
            })
        };
        adopt().map_err(|source| AdoptError {
            path: dir.to_owned(),
            source,
        })
    }

    fn new(folder: AttemptFolder, stream: Option<UnixStream>, process: Option<Waiting>) -> Self {
        Self {
            folder,
            stream,
            received: Vec::new(),
            ending: None,
            ended: false,
            process,
        }
    }

    /// Returns the supervisor's process, where it was started here and has not been waited for.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref()?.child.id()
    }

    /// Returns the attempt's folder.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// Waits for the next event. May be cancelled and called again. After the last event it waits forever.
    pub async fn next(&mut self) -> SupervisorEvent {
        if self.ended {
            return std::future::pending().await;
        }
        while let Some(stream) = &mut self.stream {
            match decode::<Report>(&mut self.received) {
                Ok(Some(report)) => return self.on_report(report),
                Ok(None) => match stream.read_buf(&mut self.received).await {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => self.stream = None,
                },
                Err(_) => self.stream = None,
            }
        }
        let event = self.last_event().await;
        self.ended = true;
        event
    }

    fn on_report(&mut self, report: Report) -> SupervisorEvent {
        match report {
            Report::Started { at } => SupervisorEvent::Started { at },
            Report::Logged { bytes } => SupervisorEvent::Logged { bytes },
            Report::Used(sample) => SupervisorEvent::Used(sample),
            Report::Ended(result) => {
                self.ended = true;
                SupervisorEvent::Ended(result)
            }
        }
    }

    /// Waits for the supervisor's end and reads what it left.
    async fn last_event(&mut self) -> SupervisorEvent {
        let path = self.folder.path().to_owned();
        let ending = self.ending.get_or_insert_with(|| {
            tokio::task::spawn_blocking(move || {
                let folder = AttemptFolder::open(&path)?;
                let _lock = folder.wait_for_lock()?;
                verdict(&folder)
            })
        });
        match ending.await {
            Ok(Ok(event)) => event,
            _ => SupervisorEvent::Died,
        }
    }

    /// Asks for the attempt's end. The end comes as an event, with this reason unless the program ended by
    /// itself before. Asking again may shorten the grace.
    ///
    /// # Errors
    /// The supervisor cannot be reached; it has ended, and its last event says how.
    pub async fn stop(&mut self, reason: EndReason, grace: Span) -> io::Result<()> {
        self.order_stop(reason, None, grace).await
    }

    /// Does the same and says more of the reason than its code does.
    ///
    /// # Errors
    /// As for [`Self::stop`].
    pub async fn stop_for(
        &mut self,
        reason: EndReason,
        detail: String,
        grace: Span,
    ) -> io::Result<()> {
        self.order_stop(reason, Some(detail), grace).await
    }

    async fn order_stop(
        &mut self,
        reason: EndReason,
        detail: Option<String>,
        grace: Span,
    ) -> io::Result<()> {
        self.order(&Order::Stop {
            reason,
            detail,
            grace,
        })
        .await
    }

    /// Holds everything in the sandbox still, or lets it go on. Frozen time does not count towards the time
    /// limit; an attempt that is told to end goes on for that. Outlasts the daemon: the next one has to say
    /// whether it still wants it.
    ///
    /// # Errors
    /// The supervisor cannot be reached; it has ended, and its last event says how.
    pub async fn freeze(&mut self, frozen: bool) -> io::Result<()> {
        self.order(&Order::Freeze { frozen }).await
    }

    /// Sets the attempt's limits once more, and lets it go on unless it is frozen: a restart of the service
    /// may have taken limits away and stopped it. For who has just adopted it.
    ///
    /// # Errors
    /// As for [`Self::freeze`].
    pub async fn settle(&mut self) -> io::Result<()> {
        self.order(&Order::Settle).await
    }

    async fn order(&mut self, order: &Order) -> io::Result<()> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        stream.write_all(&encode(order)).await
    }
}

/// Runs an attempt to its end, for callers that have nothing else to do.
pub(crate) fn run_to_end(
    program: &Path,
    dir: &Path,
    plan: &SandboxPlan,
) -> io::Result<SandboxResult> {
    let folder = AttemptFolder::open(dir)?;
    let handover = prepare(&folder, plan, Given::default()).map_err(io::Error::other)?;
    let (mut command, to) = command(program, dir.as_os_str())?;
    let mut child = command.spawn()?;
    handover.send(&to)?;
    // It has no more to wait for.
    drop((command, handover, to));
    child.wait()?;
    let left = "the supervisor left no result";
    folder.result()?.ok_or_else(|| io::Error::other(left))
}

/// Makes everything ready for the attempt's supervisor.
///
/// Listening begins here, so that nobody can connect too early. The lock, too, passes over to the supervisor:
/// there is no moment at which it could be started twice.
fn prepare(
    folder: &AttemptFolder,
    plan: &SandboxPlan,
    given: Given,
) -> Result<Handover, LaunchError> {
    let dir = folder.path();
    let failed = |source| LaunchError::Folder {
        path: dir.to_owned(),
        source,
    };
    let Some(lock) = folder.try_lock().map_err(failed)? else {
        return Err(LaunchError::Running(dir.to_owned()));
    };
    folder.write_plan(plan).map_err(failed)?;
    Ok(Handover {
        folder: dir.to_owned(),
        listener: folder.listen().map_err(failed)?.into(),
        lock: lock.into(),
        given,
    })
}

/// Returns how an attempt ended whose supervisor does not live any more.
fn verdict(folder: &AttemptFolder) -> io::Result<SupervisorEvent> {
    let result = folder.result()?;
    if let Some(plan) = folder.plan()? {
        reap_cgroup(&plan, folder.path(), result.is_some())?;
    }
    Ok(match result {
        Some(result) => SupervisorEvent::Ended(result),
        None => SupervisorEvent::Died,
    })
}

/// Removes the cgroup of an attempt that has ended, should its supervisor have been killed before it did: waits for
/// a supervisor that is about to, and leaves one that does not end to the sweep at the agent's next start.
///
/// # Errors
/// The folder cannot be read, or the kernel refuses.
pub(crate) fn clear(dir: &Path) -> io::Result<()> {
    let folder = match AttemptFolder::open(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let mut pause = CLEAR_PAUSE;
    for _ in 0..CLEAR_TRIES {
        if let Some(_lock) = folder.try_lock()? {
            let plan = folder.plan()?;
            let has_result = folder.result()?.is_some();
            return plan.map_or(Ok(()), |plan| reap_cgroup(&plan, dir, has_result));
        }
        std::thread::sleep(pause);
        pause = CLEAR_MOST_PAUSE.min(pause * 2);
    }
    Ok(())
}
