//! What the kernel is asked for weights, and about new sessions: calls that no library offers in a safe form.
#![allow(unsafe_code, reason = "raw system calls")]

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

use rustix::process::Pid;

/// Whoever shares a disk comes before one of this class.
pub(super) const DISK_IDLE: libc::c_int = 3 << 13;
/// The last among those of the ordinary class.
pub(super) const DISK_LEAST_OF_ORDINARY: libc::c_int = 2 << 13 | 7;

/// Gives this process and all that it will start a place in the queues of disks.
pub(super) fn set_disk_class(class: libc::c_int) -> io::Result<()> {
    const THIS_PROCESS: [libc::c_int; 2] = [1, 0];
    let [kind, number] = THIS_PROCESS;
    // SAFETY: has no requirements on memory.
    done(unsafe { libc::syscall(libc::SYS_ioprio_set, kind, number, class) })
}

/// Gives this process the least weight of its kind.
pub(super) fn set_niceness(niceness: i32) -> io::Result<()> {
    // SAFETY: has no requirements on memory.
    done(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, niceness) }.into())
}

/// Gives this process what processors have left over.
pub(super) fn set_idle_policy() -> io::Result<()> {
    // SAFETY: all-zero is the priority that this policy has; the place outlives the call.
    let result = unsafe {
        let none: libc::sched_param = std::mem::zeroed();
        libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const none)
    };
    done(result.into())
}

fn done(result: libc::c_long) -> io::Result<()> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// A process that waits to be let begin a session.
#[derive(Debug)]
pub(super) struct SessionAsked {
    id: u64,
    pub(super) process: Option<Pid>,
}

/// Returns the session of a process; 0 for one that was begun outside of this namespace.
pub(super) fn session_of(process: Pid) -> io::Result<i32> {
    // SAFETY: has no requirements on memory.
    let session = unsafe { libc::getsid(process.as_raw_nonzero().get()) };
    done(session.into()).map(|()| session)
}

/// Returns whether a process is the first of its group.
pub(super) fn leads_group(process: Pid) -> bool {
    let process = process.as_raw_nonzero().get();
    // SAFETY: has no requirements on memory.
    unsafe { libc::getpgid(process) == process }
}

/// What the kernel calls to read what was asked, and to answer (`SECCOMP_IOCTL_NOTIF_RECV` and `_SEND`).
const READ_ASKED: u64 = 0xc050_2100;
const ANSWER: u64 = 0xc018_2101;
/// The answer that lets the call go on (`SECCOMP_USER_NOTIF_FLAG_CONTINUE`).
const GO_ON: u32 = 1;

/// From now on, whoever this process starts waits with a new session until it is answered through the descriptor
/// that is returned; so does this process. It may gain no privileges any more.
pub(super) fn hear_of_sessions() -> io::Result<OwnedFd> {
    let setsid = u32::try_from(libc::SYS_setsid).map_err(io::Error::other)?;
    let step = |code: u32, jf, k| libc::sock_filter {
        code: u16::try_from(code).expect("the kernel's instructions have 16 bits"),
        jt: 0,
        jf,
        k,
    };
    let mut steps = [
        // The number comes first of all that the kernel shows.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, setsid),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_USER_NOTIF),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: 4,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: `program` and the steps that it names outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    };
    match i32::try_from(result) {
        // SAFETY: the kernel has just made this descriptor; it closes when a program starts.
        Ok(fd @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Returns who waits to begin a session.
pub(super) fn session_asked(heard: BorrowedFd<'_>) -> io::Result<SessionAsked> {
    // SAFETY: all-zero is what the kernel wants to find, and the place outlives the call.
    let asked = unsafe {
        let mut asked: libc::seccomp_notif = std::mem::zeroed();
        if libc::ioctl(heard.as_raw_fd(), READ_ASKED as _, &raw mut asked) == -1 {
            return Err(io::Error::last_os_error());
        }
        asked
    };
    Ok(SessionAsked {
        id: asked.id,
        process: i32::try_from(asked.pid).ok().and_then(Pid::from_raw),
    })
}

/// Lets it begin, or refuses with this error where it is not 0.
pub(super) fn answer_session(
    heard: BorrowedFd<'_>,
    asked: &SessionAsked,
    errno: i32,
) -> io::Result<()> {
    let answer = libc::seccomp_notif_resp {
        id: asked.id,
        val: 0,
        error: -errno,
        flags: if errno == 0 { GO_ON } else { 0 },
    };
    // SAFETY: `answer` is what this request reads, and outlives the call.
    done(unsafe { libc::ioctl(heard.as_raw_fd(), ANSWER as _, &raw const answer) }.into())
}
