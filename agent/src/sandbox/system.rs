//! The few system calls that no library offers in a safe form.
#![allow(unsafe_code, reason = "raw system calls")]

use std::{
    ffi::{CStr, CString},
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd},
    time::Duration,
};

use rustix::{mount::MountPropagationFlags, process::Pid};

/// The library's constant of this name does not fit its type.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// What [`clone_process`] returns to whom.
pub(super) enum Cloned {
    Child,
    Parent { pid: Pid, pidfd: OwnedFd },
}

/// Makes a child in new namespaces, in the given cgroup (version 2) from its first moment.
pub(super) fn clone_process(namespaces: i32, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
    let mut pidfd: libc::c_int = -1;
    let flags = namespaces | libc::CLONE_PIDFD;
    let flags = u64::try_from(flags).unwrap_or_default();
    // SAFETY: all-zero is the documented default of every field.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = flags;
    arguments.pidfd = &raw mut pidfd as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::try_from(cgroup.as_raw_fd()).unwrap_or_default();
    }
    // SAFETY: without CLONE_VM this is a fork; the process has one thread, so the child may go on as it is.
    // `arguments` and `pidfd` outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut arguments,
            size_of::<libc::clone_args>(),
        )
    };
    match result {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Cloned::Child),
        pid => {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            Ok(Cloned::Parent {
                pid: pid.expect("the kernel returns a process id"),
                // SAFETY: the kernel has just put a new descriptor there.
                pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
            })
        }
    }
}

/// Room for what a child does before it runs a program.
const CHILD_STACK_BYTES: usize = 256 << 10;

/// Makes a child that does `until` and ends with the code that this returns, unless it has run a program by then.
///
/// Where it shares, nothing of this process's memory has to be copied, but this process stands still until either.
/// A program's child does as little as possible in any case: what it drops is gone for nobody else.
pub(super) fn child<F: Fn() -> i32>(shares: bool, until: F) -> io::Result<Pid> {
    extern "C" fn be_child<F: Fn() -> i32>(until: *mut libc::c_void) -> libc::c_int {
        // SAFETY: this is `until` below, in this memory or in a copy of it.
        let until = unsafe { &*until.cast::<F>() };
        until()
    }
    // Aligned to 16 bytes, as processors want it.
    let mut stack = vec![0_u128; CHILD_STACK_BYTES / size_of::<u128>()];
    let top = stack.as_mut_ptr_range().end;
    let sharing = libc::CLONE_VM | libc::CLONE_VFORK;
    let flags = if shares { sharing } else { 0 } | libc::SIGCHLD;
    let argument = (&raw const until).cast_mut().cast();
    // SAFETY: the process has one thread. Where the child shares its memory, this thread waits in this call until the
    // child no longer does; where it does not, the child has a copy of all of it.
    let pid = unsafe { libc::clone(be_child::<F>, top.cast(), flags, argument) };
    // First of all: whatever comes after may have errors of its own.
    let failed = io::Error::last_os_error();
    drop(stack);
    match pid {
        -1 => Err(failed),
        pid => Pid::from_raw(pid).ok_or(failed),
    }
}

/// Adds attributes to a mount and everything below it.
pub(super) fn add_mount_attributes(mount: BorrowedFd<'_>, attributes: u64) -> io::Result<()> {
    // SAFETY: all-zero is a valid value of this plain struct.
    let mut wanted: libc::mount_attr = unsafe { std::mem::zeroed() };
    wanted.attr_set = attributes;
    // SAFETY: the path is empty and ends in NUL; `wanted` outlives the call and its size is given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const wanted,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Gives this process mounts of its own: what it mounts others do not see, what they unmount it does not hold.
pub(crate) fn own_mounts() -> io::Result<()> {
    // SAFETY: the process has one thread, and no descriptors are unshared.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) }?;
    let follow = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    Ok(rustix::mount::mount_change("/", follow)?)
}

/// Sends a signal to every process that this one sees and may signal, but not to itself.
pub(super) fn signal_all(signal: i32) {
    // SAFETY: kill has no requirements on memory. A failure means that nobody is left.
    let _ = unsafe { libc::kill(-1, signal) };
}

/// What makes an interface take part, in the width that the request has.
const UP: libc::c_short = 0x41; // IFF_UP | IFF_RUNNING

/// Brings the loopback interface of this network namespace up.
pub(super) fn loopback_up(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: all-zero is a valid value of this plain struct.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed() as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = UP;
    // SAFETY: `request` is what this request reads, and outlives the call.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Runs another program in this process; returns only why it could not.
pub(super) fn execute(program: &CStr, arguments: &[CString], env: &[CString]) -> io::Error {
    fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
        let end = std::iter::once(std::ptr::null());
        texts.iter().map(|text| text.as_ptr()).chain(end).collect()
    }
    let (arguments, env) = (pointers(arguments), pointers(env));
    // SAFETY: both lists hold strings that live here and end in NULL.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Marks every descriptor from `first` on to be closed when a program starts.
pub(super) fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: only flags of this process's own descriptors change.
    match unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Closes every descriptor but these and the first three. Nothing of this process may use one of the others any more.
pub(super) fn close_all_but<const N: usize>(kept: [BorrowedFd<'_>; N]) -> io::Result<()> {
    let mut kept = kept.map(|fd| u32::try_from(fd.as_raw_fd()).unwrap_or_default());
    kept.sort_unstable();
    let mut first = 3;
    for end in kept.into_iter().chain([u32::MAX]) {
        if first < end {
            // SAFETY: closing touches no memory; the caller sees to it that nobody uses what is closed.
            let closed = unsafe { libc::syscall(libc::SYS_close_range, first, end - 1, 0) };
            if closed == -1 {
                return Err(io::Error::last_os_error());
            }
        }
        first = first.max(end.saturating_add(1));
    }
    Ok(())
}

/// Blocks every signal in this process and returns a descriptor from which SIGCHLD is read.
pub(super) fn child_signals() -> io::Result<OwnedFd> {
    // SAFETY: the sets are filled by the calls before they are read; the descriptor is new.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        if libc::sigprocmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut()) == -1 {
            return Err(io::Error::last_os_error());
        }
        let mut wanted: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut wanted);
        libc::sigaddset(&raw mut wanted, libc::SIGCHLD);
        match libc::signalfd(
            -1,
            &raw const wanted,
            libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
        ) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

/// Gives every signal that has a name its default meaning again and blocks none, as a program expects.
pub(super) fn reset_signals() {
    // SAFETY: the default action needs no handler; an empty set is valid. Numbers that cannot be changed
    // are refused, which is what is wanted.
    unsafe {
        for signal in 1..=libc::SIGSYS {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Waits for a child and returns the processor time that it and its waited-for children took.
pub(super) fn wait_for(pid: Pid) -> io::Result<Duration> {
    let pid = pid.as_raw_nonzero().get();
    loop {
        // SAFETY: all-zero is a valid value; both places outlive the call.
        let (result, usage) = unsafe {
            let (mut status, mut usage) = (0, std::mem::zeroed());
            let result = libc::wait4(pid, &raw mut status, 0, &raw mut usage);
            (result, usage)
        };
        if result != -1 {
            return Ok(processor_time(&usage));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Returns the processor time of all children that this process has waited for, and of theirs.
pub(super) fn children_time() -> Duration {
    // SAFETY: all-zero is a valid value; the place outlives the call, which cannot fail for this argument.
    let usage = unsafe {
        let mut usage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    processor_time(&usage)
}

fn processor_time(usage: &libc::rusage) -> Duration {
    let times = [usage.ru_utime, usage.ru_stime].map(|time| {
        let secs = u64::try_from(time.tv_sec).unwrap_or(0);
        let micros = u64::try_from(time.tv_usec).unwrap_or(0);
        Duration::from_secs(secs) + Duration::from_micros(micros)
    });
    times.into_iter().sum()
}

/// Returns what the kernel counts processor time in.
pub(super) fn ticks_per_second() -> u64 {
    setting(libc::_SC_CLK_TCK).unwrap_or(100)
}

/// Returns the size of a page of memory.
pub(super) fn page_bytes() -> u64 {
    setting(libc::_SC_PAGESIZE).unwrap_or(4096)
}

fn setting(name: libc::c_int) -> Option<u64> {
    // SAFETY: has no requirements on memory.
    let value = unsafe { libc::sysconf(name) };
    u64::try_from(value).ok().filter(|&value| value > 0)
}

/// Takes over the descriptor of this number, which whoever started this process left open for it.
pub(super) fn inherited(number: &std::ffi::OsStr) -> Option<OwnedFd> {
    let number = number.to_str()?.parse().ok().filter(|number| *number > 2)?;
    // SAFETY: nothing in this process knows of the descriptor but who reads the arguments, once. One that is
    // not open makes every use of it fail.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Ends this process at once, without what the standard library does at a program's end.
pub(super) fn exit_now(code: i32) -> ! {
    // SAFETY: never returns, and touches no memory.
    unsafe { libc::_exit(code) }
}

/// Returns the time since the machine started, sleep included: nobody can set it.
pub(crate) fn since_boot() -> Duration {
    // SAFETY: all-zero is a valid value, and the place outlives the call.
    let time = unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time);
        time
    };
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(secs, nanos)
}
