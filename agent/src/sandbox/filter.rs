//! The system calls that a job may make.
//!
//! The first lets through what is listed and says "not implemented" (ENOSYS) to all else, so that
//! libraries fall back from calls they merely prefer; among these is `clone3`, whose flags a filter cannot see.
//! The second says "not permitted" (EPERM) to what is dangerous by name or by argument. Calls made the way of
//! another architecture end the process.

use std::{collections::BTreeMap, io};

#[cfg(target_arch = "x86_64")]
use seccompiler::sock_filter;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: TargetArch = TargetArch::aarch64;

/// Any of these in `clone` makes a namespace.
const NAMESPACES: [i32; 8] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
    0x80, // CLONE_NEWTIME
];
/// The only kinds of socket that there are for a job; the rest reaches past the network namespace or into
/// rarely walked parts of the kernel.
const SOCKET_DOMAINS: [i32; 4] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];
/// Terminal requests that type into somebody's shell, or put a driver of any kind behind a terminal.
const TERMINAL: [u64; 3] = [libc::TIOCSTI, libc::TIOCLINUX, libc::TIOCSETD];
/// The bit in a call's number that makes it one of the x32 architecture, whose name for the kernel is ours.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

/// Installs the filters on this process and all that it will start.
pub(super) fn install() -> io::Result<()> {
    for program in [allowed()?, denied()?] {
        apply_filter(&program).map_err(io::Error::other)?;
    }
    #[cfg(target_arch = "x86_64")]
    apply_filter(&foreign()).map_err(io::Error::other)?;
    Ok(())
}

/// Returns the filter that ends the process at any call with [`X32`] in its number.
#[cfg(target_arch = "x86_64")]
fn foreign() -> BpfProgram {
    let instruction = |code: u32, jt, jf, k| sock_filter {
        code: u16::try_from(code).expect("the kernel's instructions have 16 bits"),
        jt,
        jf,
        k,
    };
    let answer = libc::BPF_RET | libc::BPF_K;
    vec![
        // The number comes first of all that the kernel shows.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 1, X32),
        instruction(answer, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
        instruction(answer, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

fn allowed() -> io::Result<BpfProgram> {
    let rules = calls::ALLOWED.iter().map(|&call| (call, Vec::new()));
    compile(
        rules.collect(),
        SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
        SeccompAction::Allow,
    )
}

fn denied() -> io::Result<BpfProgram> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for &call in calls::DENIED {
        rules.insert(call, Vec::new());
    }
    let namespaces = NAMESPACES.map(|flag| {
        let flag = u64::from(flag.unsigned_abs());
        rule(&[(0, SeccompCmpOp::MaskedEq(flag), flag)])
    });
    rules.insert(
        libc::SYS_clone,
        namespaces.into_iter().collect::<io::Result<_>>()?,
    );
    let foreign: Vec<_> = SOCKET_DOMAINS
        .iter()
        .map(|domain| (0, SeccompCmpOp::Ne, u64::from(domain.unsigned_abs())))
        .collect();
    // Of netlink only what looks at interfaces and routes (protocol 0).
    let netlink = [
        (
            0,
            SeccompCmpOp::Eq,
            u64::from(libc::AF_NETLINK.unsigned_abs()),
        ),
        (2, SeccompCmpOp::Ne, 0),
    ];
    for call in [libc::SYS_socket, libc::SYS_socketpair] {
        rules.insert(call, vec![rule(&foreign)?, rule(&netlink)?]);
    }
    let terminal = TERMINAL.map(|request| rule(&[(1, SeccompCmpOp::Eq, request)]));
    rules.insert(
        libc::SYS_ioctl,
        terminal.into_iter().collect::<io::Result<_>>()?,
    );
    compile(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
    )
}

/// Makes a rule that holds where all conditions on arguments do: number, comparison, value.
fn rule(conditions: &[(u8, SeccompCmpOp, u64)]) -> io::Result<SeccompRule> {
    let conditions = conditions.iter().map(|(argument, comparison, value)| {
        // The kernel reads these arguments as 32 bits; the upper half is not its business, nor ours.
        let length = SeccompCmpArgLen::Dword;
        SeccompCondition::new(*argument, length, comparison.clone(), *value)
    });
    conditions
        .collect::<Result<_, _>>()
        .and_then(SeccompRule::new)
        .map_err(io::Error::other)
}

fn compile(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> io::Result<BpfProgram> {
    SeccompFilter::new(rules, otherwise, matched, ARCHITECTURE)
        .and_then(TryInto::try_into)
        .map_err(io::Error::other)
}

mod calls;
