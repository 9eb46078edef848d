//! The system calls that a job may make.
//!
//! The first lets through what is listed and says "not implemented" (ENOSYS) to all else, so that
//! libraries fall back from calls they merely prefer; among these is `clone3`, whose flags a filter cannot see.
//! The second says "not permitted" (EPERM) to what is dangerous by name or by argument. Calls made the way of
//! another architecture end the process.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

#[cfg(target_arch = "x86_64")]
use seccompiler::sock_filter;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

mod calls;

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

/// Installs both filters on this process and all that it will start.
pub(crate) fn install() -> io::Result<()> {
    for program in [allowed(), denied()?] {
        apply_filter(&program).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Returns the first filter. It is written out by hand, because it is looked through at every call that a job
/// makes and made ready by the kernel at every start: numbers that follow each other are one step together.
fn allowed() -> BpfProgram {
    let instruction = |code: u32, jt, jf, k| sock_filter {
        code: u16::try_from(code).expect("the kernel's instructions have 16 bits"),
        jt,
        jf,
        k,
    };
    let answer = |k| instruction(libc::BPF_RET | libc::BPF_K, 0, 0, k);
    // Skips the instruction that follows for numbers of at least this, or less than this.
    let jump = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
    let from = |number| instruction(jump, 1, 0, number);
    let below = |number| instruction(jump, 0, 1, number);
    let unknown = answer(libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs());
    // The number comes first of all that the kernel shows.
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let mut program = vec![instruction(load, 0, 0, 0)];
    #[cfg(target_arch = "x86_64")]
    program.extend([below(X32), answer(libc::SECCOMP_RET_KILL_PROCESS)]);
    for (first, after) in runs(calls::ALLOWED) {
        program.extend([from(first), unknown.clone()]);
        program.extend([from(after), answer(libc::SECCOMP_RET_ALLOW)]);
    }
    program.push(unknown);
    program
}

/// Returns the runs of numbers that follow each other, in their order: the first of each and the one after its
/// last.
fn runs(numbers: &[i64]) -> Vec<(u32, u32)> {
    let numbers: BTreeSet<u32> = numbers
        .iter()
        .filter_map(|&number| u32::try_from(number).ok())
        .collect();
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, after)) if *after == number => *after += 1,
            _ => runs.push((number, number + 1)),
        }
    }
    runs
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the filter as the kernel would.
    fn answer(program: &[sock_filter], number: u32) -> u32 {
        let mut at = 0;
        loop {
            let step = &program[at];
            at += 1;
            match u32::from(step.code) & 0x07 {
                libc::BPF_LD => assert_eq!(step.k, 0),
                libc::BPF_JMP if number >= step.k => at += usize::from(step.jt),
                libc::BPF_JMP => at += usize::from(step.jf),
                libc::BPF_RET => return step.k,
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn exactly_the_listed_calls_are_let_through() {
        let program = allowed();
        assert!(program.len() < 500, "{}", program.len());
        for number in (0..5000).chain([0x3fff_ffff]) {
            let expect = if calls::ALLOWED.contains(&i64::from(number)) {
                libc::SECCOMP_RET_ALLOW
            } else {
                libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs()
            };
            assert_eq!(answer(&program, number), expect, "{number}");
        }
        #[cfg(target_arch = "x86_64")]
        for number in [X32, X32 + 39, u32::MAX] {
            let killed = libc::SECCOMP_RET_KILL_PROCESS;
            assert_eq!(answer(&program, number), killed, "{number}");
        }
    }
}
