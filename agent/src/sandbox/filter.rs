//! The system calls that a job may make.
//!
//! What is listed is let through. What is dangerous by name or by argument is "not permitted" (EPERM). All else is
//! "not implemented" (ENOSYS), so that libraries fall back from calls they merely prefer; among these is `clone3`,
//! whose flags a filter cannot see. Calls made the way of another architecture end the process.
//!
//! The program is written out by hand: the kernel looks through it at the calls a job makes, translates it at every
//! start, and a job waits while it is made. The tests hold it against what `seccompiler` makes of the same lists.

use std::io;

use seccompiler::{BpfProgram, apply_filter, sock_filter};

mod calls;
#[cfg(test)]
mod tests;

/// How the kernel names the architecture whose calls these are (linux/audit.h).
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;

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
/// The only kinds of socket that there are for a job, and netlink in part; the rest reaches past the network namespace or into
/// rarely walked parts of the kernel.
const SOCKET_DOMAINS: [i32; 3] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];
/// Terminal requests that type into somebody's shell, or put a driver of any kind behind a terminal.
const TERMINAL: [u32; 3] = [0x5412, 0x541C, 0x5423]; // TIOCSTI, TIOCLINUX, TIOCSETD
/// The bit in a call's number that makes it one of the x32 architecture, whose name for the kernel is ours.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

/// Where the kernel shows what to a filter: `struct seccomp_data`, of which the lower half of an argument comes first.
const NUMBER: u32 = 0;
const CALLED_AS: u32 = 4;
const ARGUMENTS: [u32; 3] = [16, 24, 32];

const LET_THROUGH: u32 = libc::SECCOMP_RET_ALLOW;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
const NOT_PERMITTED: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
const NOT_IMPLEMENTED: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();

/// Installs the filter on this process and all that it will start.
pub(crate) fn install() -> io::Result<()> {
    apply_filter(&program()).map_err(io::Error::other)
}

/// What becomes of a call, or where that is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Answer(u32),
    /// By what it would make.
    Clone,
    /// By what would be connected.
    Socket,
    /// By what is asked of a terminal.
    Request,
}

fn program() -> BpfProgram {
    let mut program = vec![
        load(CALLED_AS),
        unless(libc::BPF_JEQ, ARCHITECTURE),
        answer(KILL),
        load(NUMBER),
    ];
    #[cfg(target_arch = "x86_64")]
    program.extend([when(libc::BPF_JGE, X32), answer(KILL)]);
    // Where a look at the arguments is due, a jump that is aimed once its target has a place.
    let mut aimed: Vec<(usize, Verdict)> = Vec::new();
    for (after, verdict) in runs() {
        program.push(unless(libc::BPF_JGE, after));
        if let Verdict::Answer(value) = verdict {
            program.push(answer(value));
        } else {
            aimed.push((program.len(), verdict));
            program.push(go(0));
        }
    }
    program.push(answer(NOT_IMPLEMENTED));
    for (verdict, steps) in [
        (Verdict::Clone, by_namespaces()),
        (Verdict::Socket, by_domain()),
        (Verdict::Request, by_request()),
    ] {
        for (from, _) in aimed.iter().filter(|(_, wanted)| *wanted == verdict) {
            let steps_over = program.len() - from - 1;
            program[*from] = go(u32::try_from(steps_over).expect("a filter is short"));
        }
        program.extend(steps);
    }
    program
}

/// Returns the runs of numbers with the same verdict, in their order: the number after its last, and the verdict.
/// Whatever follows them is unknown.
fn runs() -> Vec<(u32, Verdict)> {
    let number = |call: i64| u32::try_from(call).ok();
    let verdicts = |calls: &'static [i64], answer| {
        let numbers = calls.iter().filter_map(move |&call| number(call));
        numbers.map(move |number| (number, Verdict::Answer(answer)))
    };
    let looked_at = [
        (libc::SYS_clone, Verdict::Clone),
        (libc::SYS_socket, Verdict::Socket),
        (libc::SYS_socketpair, Verdict::Socket),
        (libc::SYS_ioctl, Verdict::Request),
    ];
    // Of one number, the first verdict here is the one that counts.
    let mut known: Vec<(u32, Verdict)> = verdicts(calls::DENIED, NOT_PERMITTED).collect();
    known.extend(
        looked_at
            .into_iter()
            .filter_map(|(call, verdict)| Some((number(call)?, verdict))),
    );
    known.extend(verdicts(calls::ALLOWED, LET_THROUGH));
    known.sort_by_key(|(number, _)| *number);
    known.dedup_by_key(|(number, _)| *number);
    let mut runs: Vec<(u32, Verdict)> = Vec::new();
    let mut extend = |after: u32, verdict| match runs.last_mut() {
        Some((end, last)) if *last == verdict => *end = after,
        _ => runs.push((after, verdict)),
    };
    let mut next = 0;
    for (number, verdict) in known {
        if number > next {
            extend(number, Verdict::Answer(NOT_IMPLEMENTED));
        }
        extend(number + 1, verdict);
        next = number + 1;
    }
    runs
}

fn by_namespaces() -> Vec<sock_filter> {
    let any = NAMESPACES
        .iter()
        .fold(0, |all, flag| all | flag.unsigned_abs());
    vec![
        load(ARGUMENTS[0]),
        when(libc::BPF_JSET, any),
        answer(NOT_PERMITTED),
        answer(LET_THROUGH),
    ]
}

fn by_domain() -> Vec<sock_filter> {
    let mut steps = vec![load(ARGUMENTS[0])];
    for domain in SOCKET_DOMAINS {
        steps.extend([
            when(libc::BPF_JEQ, domain.unsigned_abs()),
            answer(LET_THROUGH),
        ]);
    }
    // Of netlink only what looks at interfaces and routes (protocol 0).
    steps.extend([
        unless(libc::BPF_JEQ, libc::AF_NETLINK.unsigned_abs()),
        answer(NOT_PERMITTED),
        load(ARGUMENTS[2]),
        when(libc::BPF_JEQ, 0),
        answer(LET_THROUGH),
        answer(NOT_PERMITTED),
    ]);
    steps
}

fn by_request() -> Vec<sock_filter> {
    let mut steps = vec![load(ARGUMENTS[1])];
    for request in TERMINAL {
        steps.extend([when(libc::BPF_JEQ, request), answer(NOT_PERMITTED)]);
    }
    steps.push(answer(LET_THROUGH));
    steps
}

fn load(offset: u32) -> sock_filter {
    step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset)
}

/// Takes the next step where the comparison holds, and skips it otherwise.
fn when(comparison: u32, value: u32) -> sock_filter {
    step(libc::BPF_JMP | libc::BPF_K | comparison, 0, 1, value)
}

/// Skips the next step where the comparison holds, and takes it otherwise.
fn unless(comparison: u32, value: u32) -> sock_filter {
    step(libc::BPF_JMP | libc::BPF_K | comparison, 1, 0, value)
}

fn go(over: u32) -> sock_filter {
    step(libc::BPF_JMP | libc::BPF_JA, 0, 0, over)
}

fn answer(value: u32) -> sock_filter {
    step(libc::BPF_RET | libc::BPF_K, 0, 0, value)
}

fn step(code: u32, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter {
        code: u16::try_from(code).expect("the kernel's instructions have 16 bits"),
        jt,
        jf,
        k,
    }
}
