//! System calls that must be refused, called with arguments that could do no harm.
#![allow(unsafe_code, reason = "raw system calls are what is tried")]

use std::io;

use super::Trial;

/// Returns the outcome of every trial.
pub(super) fn trials() -> Vec<(String, Trial)> {
    let mut trials: Vec<(String, Trial)> = REFUSED
        .iter()
        .map(|&(name, number)| (format!("call {name}"), refused(number, [0; 6], libc::EPERM)))
        .collect();
    let mut add = |name: &str, trial| trials.push((format!("call {name}"), trial));
    add("clone3", refused(libc::SYS_clone3, [0; 6], libc::ENOSYS));
    for (name, flag) in [
        ("user", libc::CLONE_NEWUSER),
        ("mount", libc::CLONE_NEWNS),
        ("network", libc::CLONE_NEWNET),
        ("process", libc::CLONE_NEWPID),
    ] {
        let flags = i64::from(flag | libc::SIGCHLD);
        let trial = refused(libc::SYS_clone, [flags, 0, 0, 0, 0, 0], libc::EPERM);
        add(&format!("clone with a {name} namespace"), trial);
    }
    for (name, domain) in [
        ("vsock", libc::AF_VSOCK),
        ("packet", libc::AF_PACKET),
        ("alg", libc::AF_ALG),
        ("key", libc::AF_KEY),
        ("bluetooth", libc::AF_BLUETOOTH),
    ] {
        let arguments = [i64::from(domain), i64::from(libc::SOCK_DGRAM), 0, 0, 0, 0];
        let trial = refused(libc::SYS_socket, arguments, libc::EPERM);
        add(&format!("socket {name}"), trial);
    }
    let audit = [
        i64::from(libc::AF_NETLINK),
        i64::from(libc::SOCK_RAW),
        9,
        0,
        0,
        0,
    ];
    add(
        "socket netlink audit",
        refused(libc::SYS_socket, audit, libc::EPERM),
    );
    let raw = [
        i64::from(libc::AF_INET),
        i64::from(libc::SOCK_RAW),
        1,
        0,
        0,
        0,
    ];
    add("socket raw", refused(libc::SYS_socket, raw, libc::EPERM));
    let typing = [0, libc::TIOCSTI.cast_signed(), 0, 0, 0, 0];
    add(
        "ioctl TIOCSTI",
        refused(libc::SYS_ioctl, typing, libc::EPERM),
    );
    let driver = [0, libc::TIOCSETD.cast_signed(), 0, 0, 0, 0];
    add(
        "ioctl TIOCSETD",
        refused(libc::SYS_ioctl, driver, libc::EPERM),
    );
    add("kill the first process", first_process_lives());
    add("setuid", refused(libc::SYS_setuid, [0; 6], libc::EINVAL));
    add(
        "chroot",
        refused(
            libc::SYS_chroot,
            [c"/tmp".as_ptr() as i64, 0, 0, 0, 0, 0],
            libc::EPERM,
        ),
    );
    add("mknod", device());
    trials
}

const REFUSED: [(&str, i64); 31] = [
    ("mount", libc::SYS_mount),
    ("umount2", libc::SYS_umount2),
    ("pivot_root", libc::SYS_pivot_root),
    ("unshare", libc::SYS_unshare),
    ("setns", libc::SYS_setns),
    ("bpf", libc::SYS_bpf),
    ("perf_event_open", libc::SYS_perf_event_open),
    ("keyctl", libc::SYS_keyctl),
    ("add_key", libc::SYS_add_key),
    ("userfaultfd", libc::SYS_userfaultfd),
    ("io_uring_setup", libc::SYS_io_uring_setup),
    ("kexec_load", libc::SYS_kexec_load),
    ("init_module", libc::SYS_init_module),
    ("finit_module", libc::SYS_finit_module),
    ("delete_module", libc::SYS_delete_module),
    ("open_by_handle_at", libc::SYS_open_by_handle_at),
    ("name_to_handle_at", libc::SYS_name_to_handle_at),
    ("ptrace", libc::SYS_ptrace),
    ("process_vm_readv", libc::SYS_process_vm_readv),
    ("process_vm_writev", libc::SYS_process_vm_writev),
    ("pidfd_getfd", libc::SYS_pidfd_getfd),
    ("reboot", libc::SYS_reboot),
    ("swapon", libc::SYS_swapon),
    ("fsopen", libc::SYS_fsopen),
    ("fsmount", libc::SYS_fsmount),
    ("open_tree", libc::SYS_open_tree),
    ("move_mount", libc::SYS_move_mount),
    ("mount_setattr", libc::SYS_mount_setattr),
    ("settimeofday", libc::SYS_settimeofday),
    ("syslog", libc::SYS_syslog),
    ("sethostname", libc::SYS_sethostname),
];

fn refused(number: i64, arguments: [i64; 6], errno: i32) -> Trial {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: every call here is refused before it looks at its arguments; were one not, null pointers and
    // zeros make it fail by itself, and a clone would merely leave a copy of this process.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    let error = io::Error::last_os_error();
    if result == -1 && error.raw_os_error() == Some(errno) {
        return Ok(());
    }
    if number == libc::SYS_clone && result == 0 {
        std::process::exit(0);
    }
    Err(match result {
        -1 => error.to_string(),
        _ => "it went through".to_owned(),
    })
}

/// The first process of a sandbox takes no signal from inside that would end it.
fn first_process_lives() -> Trial {
    // SAFETY: kill has no requirements on memory.
    unsafe {
        libc::kill(1, libc::SIGKILL);
        libc::kill(1, libc::SIGSTOP);
        match libc::kill(1, 0) {
            0 => Ok(()),
            _ => Err("it is gone".to_owned()),
        }
    }
}

fn device() -> Trial {
    let path = c"/tmp/device";
    // SAFETY: the path ends in NUL.
    match unsafe { libc::mknod(path.as_ptr(), libc::S_IFBLK | 0o600, libc::makedev(8, 0)) } {
        -1 => Ok(()),
        _ => Err("a block device could be made".to_owned()),
    }
}
