//! The first process of a sandbox: builds it from inside, starts the job, reaps what the job leaves, and takes
//! everything with it when it ends.
//!
//! It is not the job, and the job can neither look into it nor stop it: it cannot be traced or signalled from
//! inside. It has given up everything that the job has.

mod shared;

use std::{
    fmt, fs,
    io::{self, IoSliceMut, Read as _, Write as _},
    mem::MaybeUninit,
    os::fd::{BorrowedFd, OwnedFd},
    path::Path,
};

use agent_core::sandbox_plan::{Backend, Identity, SandboxPlan, WORK};
use rustix::{
    event::{PollFd, PollFlags},
    fs::{Gid, Mode, OFlags, Uid},
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags, recv,
        recvmsg, send,
    },
    process::{DumpableBehavior, Pid, Signal, WaitOptions, kill_process},
    thread::{UnshareFlags, set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

use super::{
    cgroup::{Doors, MAX_DOORS},
    confine, handled, lazy, network,
    note::{GO, GO_ON, HOLD, Note, SIGNAL, TERMINATE},
    politeness::{self, Sessions},
    program, root, system,
};

/// A step that did not work out, told as a person may read it.
#[derive(Debug)]
pub(crate) struct Failed(String);

impl Failed {
    pub(super) fn new(what: &str, source: &io::Error) -> Self {
        Self(format!("cannot {what}: {source}"))
    }

    /// Makes one of what the sandbox's first process told.
    pub(super) fn told(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Says which step an error belongs to.
pub(crate) fn at<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Failed {
    move |error| Failed::new(what, &error.into())
}

/// What the first process is given by its supervisor.
pub(super) struct Ends<'a> {
    /// The attempt's.
    pub(super) folder: &'a Path,
    /// Held by whatever of the attempt runs.
    pub(super) lock: BorrowedFd<'a>,
    /// Whether the network namespace was made ahead, with a loopback that is up.
    pub(super) has_network: bool,
    pub(super) control: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// Is the first process, from the moment it exists to its end.
pub(super) fn run(plan: &SandboxPlan, ends: Ends<'_>) -> ! {
    if plan.shared.is_some() {
        shared::run(plan, ends);
    }
    let built = build(plan, ends.has_network, &ends.control);
    attend(plan, built, &ends.control, [ends.stdout, ends.stderr])
}

/// Is the first process of a sandbox that another program has built around it.
pub(super) fn run_inside(
    plan: &SandboxPlan,
    control: &OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
) -> ! {
    let settled = network::begin_with_loopback(plan, control).and_then(|()| settle(plan));
    attend(plan, settled, control, [stdout, stderr])
}

/// Starts the job in the sandbox that was made, and stays until its end.
pub(super) fn attend(
    plan: &SandboxPlan,
    made: Result<OwnedFd, Failed>,
    control: &OwnedFd,
    streams: [OwnedFd; 2],
) -> ! {
    let tell = |note: &Note| tell(control, note);
    match made.and_then(|signals| Ok((start(plan, streams)?, signals))) {
        Err(failed) => tell(&Note::Failed(failed.to_string())),
        Ok((Start::NotRun { errno, exists }, _)) => tell(&Note::NotRun { errno, exists }),
        Ok((Start::Running { job, mut sessions }, signals)) => {
            tell(&Note::Started);
            if let Some(status) = reap(plan, job, &signals, control, sessions.as_mut()) {
                let all_took = nobody_is_left().then(system::children_time);
                tell(&Note::Ended { status, all_took });
            }
        }
    }
    // Everything else in the sandbox ends with its first process.
    exit(0)
}

/// Nobody there to be told is noticed where it matters.
fn tell(control: &OwnedFd, note: &Note) {
    let _ = send(control, &note.encode(), SendFlags::NOSIGNAL);
}

fn exit(code: i32) -> ! {
    system::exit_now(code)
}

/// Makes the sandbox around this process, up to where it has nothing left to give up.
fn build(plan: &SandboxPlan, has_network: bool, control: &OwnedFd) -> Result<OwnedFd, Failed> {
    let sources = root::open_sources(plan)?;
    lazy::hand_out(plan, &sources, control)?;
    let doors = begin(control).map_err(at("hear of the supervisor"))?;
    let last = doors.enter().map_err(at("enter the cgroup"))?;
    become_job(plan).map_err(at("change the user"))?;
    bound_user();
    if has_network {
        network::begin_with_loopback(plan, control)?;
    } else {
        network::begin(plan, control)?;
    }
    rustix::system::sethostname(plan.hostname.as_bytes()).map_err(at("set the host name"))?;
    root::enter(plan, sources)?;
    // From here on with the weight of a job, which on a busy machine is next to nothing.
    last.enter().map_err(at("enter the cgroup"))?;
    leave_cgroups().map_err(at("hide the cgroup"))?;
    settle(plan)
}

/// Does what is the same whoever built the sandbox: ties this process to its supervisor, closes it to the job, and
/// gives up everything.
fn settle(plan: &SandboxPlan) -> Result<OwnedFd, Failed> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(at("follow the supervisor"))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(at("hide from the job"))?;
    let signals = system::child_signals().map_err(at("watch for children"))?;
    system::close_on_exec_from(3).map_err(at("keep descriptors from the job"))?;
    confine::confine(plan)?;
    Ok(signals)
}

/// Waits until the users are mapped and the cgroup is made; returns the ways into that.
pub(super) fn begin(control: &OwnedFd) -> io::Result<Doors> {
    match heard(control)? {
        (GO, files) => Ok(Doors::from_files(files)),
        _ => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

/// Waits for the supervisor's next word; returns it, and the files that came with it.
fn heard(control: &OwnedFd) -> io::Result<(u8, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DOORS))];
    let mut handed = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(
        control,
        &mut [IoSliceMut::new(&mut byte)],
        &mut handed,
        flags,
    )?;
    if received.bytes != 1 || received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    let files = handed.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => Some(files),
        _ => None,
    });
    Ok((byte[0], files.flatten().collect()))
}

pub(super) fn wait_for_go(control: &OwnedFd) -> io::Result<()> {
    begin(control).map(|_| ())
}

pub(super) fn become_job(plan: &SandboxPlan) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(plan.uid), Gid::from_raw(plan.uid));
    if plan.identity != Identity::Agent {
        // An ordinary user's groups cannot be given up; what they open is not in the sandbox.
        set_thread_groups(&[])?;
    }
    set_thread_res_gid(gid, gid, gid)?;
    Ok(set_thread_res_uid(uid, uid, uid)?)
}

/// Bounds what the user of the sandbox's namespace may have of some kinds: without it, a job could use up the
/// agent's own user's share. Where the kernel lacks a kind, there is nothing to bound.
pub(super) fn bound_user() {
    for (name, most) in [("inotify_instances", "16"), ("inotify_watches", "8192")] {
        let _ = fs::write(format!("/proc/sys/user/max_{name}"), most);
    }
}

#[allow(unsafe_code, reason = "namespaces are left one by one")]
fn leave_cgroups() -> io::Result<()> {
    // SAFETY: no descriptors are unshared, which is what could hurt.
    Ok(unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWCGROUP) }?)
}

enum Start {
    Running {
        job: Pid,
        sessions: Option<Sessions>,
    },
    NotRun {
        errno: i32,
        exists: bool,
    },
}

/// Starts the job and learns whether its program could be run.
fn start(plan: &SandboxPlan, streams: [OwnedFd; 2]) -> Result<Start, Failed> {
    let (mut reader, writer) = io::pipe().map_err(at("make a pipe"))?;
    let mut sessions = Sessions::watch(plan);
    let weighed = sessions.is_some();
    // Where the job's session is told of, this process has to answer before the job can go on.
    let job = system::child(!weighed, || be_job(plan, &streams, &writer, weighed));
    let job = job.map_err(at("fork"))?;
    drop((writer, streams));
    Sessions::wait(
        sessions.as_mut(),
        &mut [PollFd::new(&reader, PollFlags::IN)],
    );
    let mut report = [0; 5];
    match reader.read_exact(&mut report) {
        // It closed when the program began.
        Err(_) => Ok(Start::Running { job, sessions }),
        Ok(()) => Ok(Start::NotRun {
            errno: i32::from_le_bytes([report[0], report[1], report[2], report[3]]),
            exists: report[4] == 1,
        }),
    }
}

/// Is the job's process up to where the job's program takes over; returns the process's exit code.
fn be_job(
    plan: &SandboxPlan,
    streams: &[OwnedFd; 2],
    mut report: &io::PipeWriter,
    weighed: bool,
) -> i32 {
    let own_weight = || match weighed {
        true => Sessions::keep_from_job(),
        false => Ok(()),
    };
    let error = job_streams(streams)
        .and_then(|()| own_weight())
        .and_then(|()| Ok(rustix::process::setsid().map(|_| ())?))
        .and_then(|()| Ok(rustix::process::chdir(start_folder(plan))?))
        .and_then(|()| politeness::wait_for_processor(plan))
        .map(|()| {
            system::reset_signals();
            program::execute(plan)
        });
    let (errno, exists) = error.unwrap_or_else(|error| (error.raw_os_error().unwrap_or(0), true));
    let [a, b, c, d] = errno.to_le_bytes();
    let _ = report.write_all(&[a, b, c, d, u8::from(exists)]);
    127
}

/// Returns where the program begins that this process starts. One that goes on to make the sandbox finds the work
/// folder by itself.
fn start_folder(plan: &SandboxPlan) -> &'static str {
    match plan.backend {
        Backend::Native | Backend::Bubblewrap { .. } => WORK,
        Backend::Runsc { .. } => "/",
    }
}

fn job_streams([stdout, stderr]: &[OwnedFd; 2]) -> io::Result<()> {
    let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(stdout)?;
    rustix::stdio::dup2_stderr(stderr)?;
    Ok(())
}

/// Waits for the job's end; `None` if the supervisor went first.
fn reap(
    plan: &SandboxPlan,
    job: Pid,
    signals: &OwnedFd,
    control: &OwnedFd,
    mut sessions: Option<&mut Sessions>,
) -> Option<i32> {
    loop {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if pid == job {
                return Some(status.as_raw());
            }
        }
        let mut waiting = [
            PollFd::new(signals, PollFlags::IN),
            PollFd::new(control, PollFlags::IN),
        ];
        Sessions::wait(sessions.as_deref_mut(), &mut waiting);
        let [signalled, ordered] = [waiting[0].revents(), waiting[1].revents()];
        if !signalled.is_empty() {
            let mut drained = [0_u8; 128];
            while rustix::io::read(signals, &mut drained).is_ok_and(|count| count > 0) {}
        }
        if !ordered.is_empty() {
            let mut order = [0];
            match recv(control, &mut order, RecvFlags::DONTWAIT) {
                Ok((1.., _)) => {
                    if let Some(note) = on_order(plan, job, order[0]) {
                        tell(control, &note);
                    }
                }
                Ok((0, _)) => return None,
                _ => {}
            }
        }
    }
}

/// Returns whether this process is alone in the sandbox: whoever lost its parent is its child.
fn nobody_is_left() -> bool {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Err(rustix::io::Errno::CHILD) => return true,
            _ => return false,
        }
    }
}

/// Does what the supervisor asks for; returns what it should know of that.
fn on_order(plan: &SandboxPlan, job: Pid, order: u8) -> Option<Note> {
    let passed_on = matches!(plan.backend, Backend::Runsc { .. });
    match order {
        // It passes this on to what runs in its sandbox; its other processes are the sandbox.
        TERMINATE if passed_on => {
            let _ = kill_process(job, Signal::TERM);
        }
        signal if signal & SIGNAL != 0 => {
            let number = signal & !SIGNAL;
            let heard = match Signal::from_named_raw(i32::from(number)).filter(|_| passed_on) {
                Some(signal) => kill_process(job, signal).is_ok(),
                None => handled::send(number),
            };
            return (!heard).then_some(Note::Unheard);
        }
        TERMINATE => system::signal_all(libc::SIGTERM),
        HOLD => system::signal_all(libc::SIGSTOP),
        // Also to what the job itself had stopped: nobody can tell the difference.
        GO_ON => system::signal_all(libc::SIGCONT),
        _ => {}
    }
    None
}
