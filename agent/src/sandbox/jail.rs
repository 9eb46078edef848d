//! A sandbox seen from its supervisor: start it, hear of it, end it, count what it took.

mod next;
mod orders;
mod user;

use std::{
    io::{self, PipeReader, PipeWriter},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    time::Duration,
};

use agent_core::sandbox_plan::{
    Backend, Content, Identity, NetworkPlan, OUTPUT, SandboxPlan, WORK,
};
use common::units::Bytes;
use rustix::{
    fs::{Gid, Uid},
    net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair},
    process::{Pid, Signal, pidfd_send_signal},
};

use self::{
    next::Before,
    user::{hand_over, map_user},
};

use super::{
    bubblewrap,
    cgroup::{AttemptCgroup, Used},
    init::{self, Ends, Failed, at},
    lazy,
    network::{self, Outside},
    note::{MAX_NOTE_BYTES, Note},
    processes, runsc, spare,
    system::{Cloned, clone_process, wait_for},
};

/// What a sandbox lives in. The view of cgroups comes once the process is in its own.
const NAMESPACES: i32 =
    OUTER_NAMESPACES | libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
/// What another program makes the sandbox in: enough to map the user, to show it nothing but what it needs, and
/// to end everything with one process.
const OUTER_NAMESPACES: i32 = libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID;

/// A running sandbox.
#[derive(Debug)]
pub(crate) struct Jail {
    pid: Pid,
    pidfd: OwnedFd,
    control: OwnedFd,
    cgroup: AttemptCgroup,
    /// Processor time of everything that ran of a task, once nothing is left of it.
    all_took: Option<Duration>,
    /// What earlier tasks in it took; `None` before there were any.
    before: Option<Before>,
    /// Whether its first process has said that nothing is left of the last task.
    vacant: bool,
    waited: bool,
}

/// What a job writes, as it arrives.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) stdout: PipeReader,
    pub(crate) stderr: PipeReader,
    /// What the job's helper is started with, or is.
    pub(crate) network: Option<Outside>,
    /// By which lazily mounted datasets are served, in the order of the plan's.
    pub(crate) lazy: Vec<OwnedFd>,
}

/// What happens in a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JailEvent {
    Started,
    Exited(i32),
    Signalled(i32),
    /// The file is there but cannot be run, for this reason.
    NotExecutable(i32),
    NotFound,
    Failed(String),
    /// Nothing in it handles the signal that was sent last.
    Unheard,
}

/// What a sandbox took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Consumed {
    pub(crate) cpu: Duration,
    pub(crate) peak_memory: Option<Bytes>,
    /// Whether the kernel killed something in it for want of memory.
    pub(crate) out_of_memory: bool,
}

impl Jail {
    /// Makes the sandbox and starts the job. `dir` is the attempt's folder.
    /// `lock` is held by whatever of the attempt runs; `network` is a spare one for a plan that can have such.
    pub(crate) fn start(
        plan: &SandboxPlan,
        dir: &Path,
        lock: BorrowedFd<'_>,
        network: Option<OwnedFd>,
    ) -> Result<(Self, Output), Failed> {
        if let Backend::Runsc { program } = &plan.backend
            && !program.is_file()
        {
            let text = "strong isolation needs gVisor (runsc), which this machine does not have";
            return Err(Failed::told(text.to_owned()));
        }
        let cgroup = AttemptCgroup::begin(plan, dir).map_err(at("set the job's limits"))?;
        match Self::start_in(plan, &cgroup, dir, lock, network) {
            Ok((pid, pidfd, control, output)) => Ok((
                Self {
                    pid,
                    pidfd,
                    control,
                    cgroup,
                    all_took: None,
                    before: None,
                    vacant: false,
                    waited: false,
                },
                output,
            )),
            Err(failed) => {
                // The failure that led here is the one to tell.
                let _ = cgroup.kill_and_remove();
                Err(failed)
            }
        }
    }

    fn start_in(
        plan: &SandboxPlan,
        cgroup: &AttemptCgroup,
        dir: &Path,
        lock: BorrowedFd<'_>,
        spare: Option<OwnedFd>,
    ) -> Result<(Pid, OwnedFd, OwnedFd, Output), Failed> {
        let spare = spare.filter(|_| spare::fits(plan));
        let ([stdout, stderr], [job_stdout, job_stderr]) = streams(plan)?;
        let (control, inside) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .map_err(at("make a socket"))?;
        let leaf = cgroup.open_for_clone().map_err(at("open the cgroup"))?;
        let leaf_fd = leaf.as_ref().map(AsFd::as_fd);
        let cloned = match &spare {
            None => clone_process(namespaces(plan), leaf_fd),
            Some(network) => clone_in(network, namespaces(plan) & !libc::CLONE_NEWNET, leaf_fd),
        };
        let cloned = cloned.map_err(at("make namespaces"))?;
        let Cloned::Parent { pid, pidfd } = cloned else {
            drop((control, stdout, stderr, leaf));
            be_first(
                plan,
                Ends {
                    folder: dir,
                    lock,
                    has_network: spare.is_some(),
                    control: inside,
                    stdout: job_stdout.into(),
                    stderr: job_stderr.into(),
                },
            );
        };
        // The other ends are the child's alone, so that this one learns of its end.
        drop((inside, job_stdout, job_stderr));
        // The first process has enough to do meanwhile.
        let ready = cgroup
            .complete(&plan.limits)
            .map_err(at("set the job's limits"))
            .and_then(|doors| {
                hand_over(plan)?;
                map_user(plan, pid).map_err(at("map the job's user"))?;
                let lazy = lazy::hear(plan, &control)?;
                Ok((network::go(plan, pid, &control, &doors)?, lazy))
            });
        let (network, lazy) = match ready {
            Ok(ready) => ready,
            Err(failed) => {
                let _ = pidfd_send_signal(&pidfd, Signal::KILL);
                let _ = wait_for(pid);
                // Where the child gave up first, its reason is the one that matters.
                return Err(match next_note(&control) {
                    Some(Note::Failed(text)) => Failed::told(text),
                    _ => failed,
                });
            }
        };
        let output = Output {
            stdout,
            stderr,
            network,
            lazy,
        };
        Ok((pid, pidfd, control, output))
    }

    /// Readable when [`Self::event`] has something.
    pub(crate) fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// Returns the sandbox's first process.
    pub(crate) const fn first(&self) -> Pid {
        self.pid
    }

    /// Readable once everything in the sandbox has ended.
    pub(crate) fn end(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Returns what happened next, if anything has.
    pub(crate) fn event(&mut self) -> Option<JailEvent> {
        Some(match next_note(&self.control)? {
            Note::Started => JailEvent::Started,
            Note::Ended { status, all_took } => {
                self.all_took = all_took;
                if libc::WIFSIGNALED(status) {
                    JailEvent::Signalled(libc::WTERMSIG(status))
                } else {
                    JailEvent::Exited(libc::WEXITSTATUS(status))
                }
            }
            Note::NotRun {
                errno: libc::ENOENT,
                exists: false,
            } => JailEvent::NotFound,
            Note::NotRun { errno, .. } => JailEvent::NotExecutable(errno),
            Note::Vacant => {
                self.vacant = true;
                return None;
            }
            // Said before all else, and heard by whoever made the sandbox.
            Note::Network => return None,
            Note::Failed(text) => JailEvent::Failed(text),
            Note::Unheard => JailEvent::Unheard,
        })
    }

    /// Returns whether nothing runs in it any more but its first process, which is about to take it down.
    pub(crate) const fn is_empty(&self) -> bool {
        self.all_took.is_some()
    }

    /// Returns what the sandbox uses now.
    pub(crate) fn used(&self) -> Used {
        let used = self.cgroup.used();
        let mut used = used.unwrap_or_else(|| processes::used(self.pid));
        if let Some(before) = &self.before {
            used.cpu = before.rest_of(used.cpu);
        }
        used
    }

    /// Ends everything in the sandbox, at once.
    pub(crate) fn kill(&self) {
        // Its first process takes everything along.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// Returns what the sandbox took, once nothing runs in it any more.
    pub(crate) fn consumed(&mut self) -> io::Result<Consumed> {
        let counted = match &self.before {
            Some(before) => before.counted_since(&self.cgroup),
            None => self.cgroup.counted(),
        };
        let cpu = match counted.cpu.or(self.all_took) {
            Some(cpu) => cpu,
            // Who could have told was killed; the kernel tells as well, once that is gone.
            None => self.wait()?,
        };
        Ok(Consumed {
            cpu,
            peak_memory: counted.peak_memory,
            out_of_memory: counted.memory_kills > 0,
        })
    }

    /// Waits for the end of the sandbox and removes what it was made of.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        if !self.waited {
            self.wait()?;
        }
        self.cgroup.kill_and_remove()
    }

    fn wait(&mut self) -> io::Result<Duration> {
        let took = wait_for(self.pid)?;
        self.waited = true;
        Ok(took)
    }
}

/// Makes what a task's output goes through: the supervisor's ends, and the task's.
fn streams(plan: &SandboxPlan) -> Result<([PipeReader; 2], [PipeWriter; 2]), Failed> {
    let (stdout, job_stdout) = io::pipe().map_err(at("make a pipe"))?;
    let (stderr, job_stderr) = io::pipe().map_err(at("make a pipe"))?;
    if let Identity::Private { uid } = plan.identity {
        // The job may open its own output by name, as in `/dev/stdout`.
        for end in [job_stdout.as_fd(), job_stderr.as_fd()] {
            rustix::fs::fchown(end, Some(Uid::from_raw(uid)), Some(Gid::from_raw(uid)))
                .map_err(at("hand over a pipe"))?;
        }
    }
    Ok(([stdout, stderr], [job_stdout, job_stderr]))
}

fn namespaces(plan: &SandboxPlan) -> i32 {
    match (&plan.backend, &plan.network) {
        (Backend::Native | Backend::Runsc { .. }, _) => NAMESPACES,
        // Its rules are set with rights in the namespace, which that program leaves to nobody.
        (Backend::Bubblewrap { .. }, NetworkPlan::Full { .. }) => {
            OUTER_NAMESPACES | libc::CLONE_NEWNET
        }
        (Backend::Bubblewrap { .. }, _) => OUTER_NAMESPACES,
    }
}

/// Makes the first process in a network namespace that is there. A process has no rights in one that is not its own,
/// so this one goes there, and returns.
fn clone_in(
    network: &OwnedFd,
    namespaces: i32,
    cgroup: Option<BorrowedFd<'_>>,
) -> io::Result<Cloned> {
    let home = spare::own()?;
    spare::enter(network)?;
    let cloned = clone_process(namespaces, cgroup);
    if !matches!(cloned, Ok(Cloned::Child)) {
        spare::enter(&home)?;
    }
    cloned
}

/// Is the process in the new namespaces.
fn be_first(plan: &SandboxPlan, ends: Ends<'_>) -> ! {
    match &plan.backend {
        Backend::Native => init::run(plan, ends),
        Backend::Bubblewrap { program } => bubblewrap::run(plan, program, &ends),
        Backend::Runsc { program } => runsc::run(plan, program, ends),
    }
}

fn next_note(control: &OwnedFd) -> Option<Note> {
    let mut note = [0; MAX_NOTE_BYTES];
    let mut receive = || recv(control, &mut note, RecvFlags::DONTWAIT);
    let (length, _) = match receive() {
        // It ended without having read all that it was told; what it said itself is still there.
        Err(rustix::io::Errno::CONNRESET) => receive(),
        other => other,
    }
    .ok()?;
    Note::decode(note.get(..length)?)
}

/// Returns the folders on the host that the job writes to.
pub(crate) fn writable_folders(plan: &SandboxPlan) -> impl Iterator<Item = &Path> {
    plan.mounts.iter().filter_map(|mount| match &mount.content {
        Content::Bind { source, .. } if [WORK, OUTPUT].contains(&mount.target.as_str()) => {
            Some(source.as_path())
        }
        _ => None,
    })
}
