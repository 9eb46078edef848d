//! The filter beside two that `seccompiler` makes of the same lists: one of what is let through, one of what is
//! not permitted. Of two filters' answers the kernel takes the stricter.

use std::collections::BTreeMap;

use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use super::*;

#[cfg(target_arch = "x86_64")]
const TARGET: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const TARGET: TargetArch = TargetArch::aarch64;

/// What the kernel shows to a filter.
#[derive(Debug, Clone, Copy)]
struct Call {
    architecture: u32,
    number: u32,
    arguments: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        let lower = |value: u64| u32::try_from(value & u64::from(u32::MAX)).unwrap();
        match offset {
            0 => self.number,
            4 => self.architecture,
            _ => {
                let argument = self.arguments[usize::try_from((offset - 16) / 8).unwrap()];
                lower(if offset.is_multiple_of(8) {
                    argument
                } else {
                    argument >> 32
                })
            }
        }
    }
}

/// Runs a filter as the kernel would.
fn answered(program: &[sock_filter], call: &Call) -> u32 {
    let (mut at, mut held) = (0, 0);
    loop {
        let step = &program[at];
        at += 1;
        let code = u32::from(step.code);
        let jump = |holds: bool| usize::from(if holds { step.jt } else { step.jf });
        match (code & 0x07, code & 0xf0) {
            (libc::BPF_LD, _) => held = call.word(step.k),
            (libc::BPF_ALU, libc::BPF_AND) => held &= step.k,
            (libc::BPF_JMP, libc::BPF_JA) => at += usize::try_from(step.k).unwrap(),
            (libc::BPF_JMP, libc::BPF_JEQ) => at += jump(held == step.k),
            (libc::BPF_JMP, libc::BPF_JGE) => at += jump(held >= step.k),
            (libc::BPF_JMP, libc::BPF_JGT) => at += jump(held > step.k),
            (libc::BPF_JMP, libc::BPF_JSET) => at += jump(held & step.k != 0),
            (libc::BPF_RET, _) => return step.k,
            other => panic!("{other:?}"),
        }
    }
}

fn rule(conditions: &[(u8, SeccompCmpOp, u64)]) -> SeccompRule {
    let conditions = conditions.iter().map(|(argument, comparison, value)| {
        let length = SeccompCmpArgLen::Dword;
        SeccompCondition::new(*argument, length, comparison.clone(), *value).unwrap()
    });
    SeccompRule::new(conditions.collect()).unwrap()
}

fn compiled(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> BpfProgram {
    let filter = SeccompFilter::new(rules, otherwise, matched, TARGET).unwrap();
    filter.try_into().unwrap()
}

/// Returns what `seccompiler` makes of the lists: what is let through, and what is not permitted.
fn reference() -> [BpfProgram; 2] {
    let named = |calls: &[i64]| calls.iter().map(|&call| (call, Vec::new())).collect();
    let mut denied: BTreeMap<i64, Vec<SeccompRule>> = named(calls::DENIED);
    let any_of = |argument, values: &[u64]| {
        let rules = values.iter();
        rules
            .map(|&flag| rule(&[(argument, SeccompCmpOp::MaskedEq(flag), flag)]))
            .collect()
    };
    let flags = NAMESPACES.map(|flag| u64::from(flag.unsigned_abs()));
    denied.insert(libc::SYS_clone, any_of(0, &flags));
    let known = [
        libc::AF_UNIX,
        libc::AF_INET,
        libc::AF_INET6,
        libc::AF_NETLINK,
    ];
    let known = known.map(|domain| u64::from(domain.unsigned_abs()));
    let foreign: Vec<_> = known.map(|domain| (0, SeccompCmpOp::Ne, domain)).to_vec();
    let netlink = [(0, SeccompCmpOp::Eq, known[3]), (2, SeccompCmpOp::Ne, 0)];
    for call in [libc::SYS_socket, libc::SYS_socketpair] {
        denied.insert(call, vec![rule(&foreign), rule(&netlink)]);
    }
    let terminal = [libc::TIOCSTI, libc::TIOCLINUX, libc::TIOCSETD];
    let terminal = terminal.map(|request| rule(&[(1, SeccompCmpOp::Eq, request)]));
    denied.insert(libc::SYS_ioctl, terminal.to_vec());
    let [unknown, forbidden] = [libc::ENOSYS, libc::EPERM].map(i32::unsigned_abs);
    [
        compiled(
            named(calls::ALLOWED),
            SeccompAction::Errno(unknown),
            SeccompAction::Allow,
        ),
        compiled(
            denied,
            SeccompAction::Allow,
            SeccompAction::Errno(forbidden),
        ),
    ]
}

fn calls_of(number: u32) -> impl Iterator<Item = Call> {
    let first = [0, 1, 2, 10, 16, 17, 38, 40, 0x11, 0x0102_0011].into_iter();
    let flags = NAMESPACES.map(|flag| u64::from(flag.unsigned_abs()));
    let first = first.chain(flags).chain([u64::MAX, 1 << 32, (1 << 32) | 2]);
    let second = [0, 0x5401, 0x5412, 0x541C, 0x5423, (1 << 32) | 0x5412];
    let third = [0, 9, 15, 1 << 32];
    first.flat_map(move |a| {
        second.into_iter().flat_map(move |b| {
            third.into_iter().map(move |c| Call {
                architecture: ARCHITECTURE,
                number,
                arguments: [a, b, c, 0, 0, 0],
            })
        })
    })
}

#[test]
fn answers_are_those_of_the_library() {
    let ours = program();
    let [allowed, denied] = reference();
    for number in (0..700).chain([0x3fff_ffff]) {
        for call in calls_of(number) {
            let expect = match answered(&denied, &call) {
                LET_THROUGH => answered(&allowed, &call),
                other => other,
            };
            assert_eq!(answered(&ours, &call), expect, "{call:?}");
        }
    }
}

#[test]
fn calls_of_other_architectures_end_the_process() {
    let ours = program();
    let call = |architecture, number| Call {
        architecture,
        number,
        arguments: [0; 6],
    };
    // The 32 bit calls of the same processor, as linux/audit.h names them.
    for architecture in [0x4000_0003, 0x4000_0028, 0] {
        assert_eq!(answered(&ours, &call(architecture, 39)), KILL);
    }
    #[cfg(target_arch = "x86_64")]
    for number in [X32, X32 + 39, u32::MAX] {
        assert_eq!(
            answered(&ours, &call(ARCHITECTURE, number)),
            KILL,
            "{number}"
        );
    }
}

#[test]
fn the_filter_is_short() {
    assert!(program().len() < 300, "{}", program().len());
}
