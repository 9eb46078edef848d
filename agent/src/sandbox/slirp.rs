//! The user-mode network of a job with a full network: slirp4netns, another program of the machine's.
//!
//! It has one end in the job's network namespace and makes ordinary connections at the other, as the agent's user.
//! It is started once the namespace has its rules, reaches nothing of the machine's loopback, and ends with this or
//! with the supervisor, whichever is first.

use std::{
    fs::File,
    io::{self, PipeWriter, Read as _},
    os::fd::{AsFd as _, AsRawFd as _},
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{FdFlags, fcntl_setfd},
    process::Pid,
};

use super::{
    init::{Failed, at},
    system::own_mounts,
};

/// How long it may take to begin.
const PATIENCE: Timespec = Timespec {
    tv_sec: 20,
    tv_nsec: 0,
};
/// The interface that it makes in the job's namespace.
pub(crate) const INTERFACE: &str = "tap0";
/// Of a packet; large ones make it ten times as fast.
const MTU: &str = "--mtu=65520";

/// A running one. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Slirp {
    child: Child,
    /// It ends when this is closed, also by the supervisor's own end.
    _lifeline: PipeWriter,
}

/// A sandbox's user and network namespaces, open.
pub(super) struct Namespaces {
    user: File,
    network: File,
}

impl Namespaces {
    /// Opens them while the sandbox's first process still waits for its word to go: later it closes itself to
    /// everybody.
    pub(super) fn of(first: Pid) -> io::Result<Self> {
        let open = |name| File::open(format!("/proc/{}/ns/{name}", first.as_raw_nonzero()));
        Ok(Self {
            user: open("user")?,
            network: open("net")?,
        })
    }
}

impl Slirp {
    /// Starts it and waits until the interface is there.
    pub(super) fn start(program: &Path, namespaces: &Namespaces) -> Result<Self, Failed> {
        let started = Self::spawn(program, namespaces);
        let (slirp, ready) = started.map_err(at("start slirp4netns"))?;
        let mut waiting = [PollFd::new(&ready, PollFlags::IN)];
        let answered = poll(&mut waiting, Some(&PATIENCE)).is_ok_and(|count| count > 0);
        let mut word = [0];
        // It closed when it gave up.
        if answered && (&ready).read(&mut word).is_ok_and(|count| count == 1) {
            Ok(slirp)
        } else {
            let why = "slirp4netns did not make the job's network; is /dev/net/tun open to the agent's user?";
            Err(Failed::told(why.to_owned()))
        }
    }

    fn spawn(program: &Path, namespaces: &Namespaces) -> io::Result<(Self, io::PipeReader)> {
        let (ready, told) = io::pipe()?;
        let (end, lifeline) = io::pipe()?;
        let handed = [
            namespaces.user.as_fd(),
            namespaces.network.as_fd(),
            told.as_fd(),
            end.as_fd(),
        ];
        // The supervisor has one thread, so nothing else starts meanwhile and gets them, too.
        for descriptor in handed {
            fcntl_setfd(descriptor, FdFlags::empty())?;
        }
        let [user, network, told_number, end_number] = handed.map(|fd| fd.as_raw_fd());
        let mut command = Command::new(program);
        command.args([
            "--configure",
            MTU,
            "--disable-host-loopback",
            "--enable-seccomp",
        ]);
        if rustix::process::geteuid().is_root() {
            // Its sandbox unmounts everything, but parts no more than the topmost mount from the machine's: where they
            // are shared, as under systemd, the machine would lose the ones below (`/dev/shm`, all cgroups).
            own_mounts()?;
            // An ordinary user has no user 0 in the job's namespace, which that sandbox would need.
            command.arg("--enable-sandbox");
        }
        command
            .arg("--netns-type=path")
            .arg(format!("--userns-path=/proc/self/fd/{user}"))
            .arg(format!("--ready-fd={told_number}"))
            .arg(format!("--exit-fd={end_number}"))
            .arg(format!("/proc/self/fd/{network}"))
            .arg(INTERFACE)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn();
        for descriptor in handed {
            fcntl_setfd(descriptor, FdFlags::CLOEXEC)?;
        }
        let slirp = Self {
            child: child?,
            _lifeline: lifeline,
        };
        Ok((slirp, ready))
    }

    /// Returns whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }
}

impl Drop for Slirp {
    fn drop(&mut self) {
        // One that is gone already is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
