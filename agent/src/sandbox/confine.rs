//! Gives up, for good, everything that a job does not need.

use std::io;

use agent_core::sandbox_plan::{Backend, DiskBound, SandboxPlan};
use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd,
    Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError,
};
use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::{
        CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capabilities,
        capability_is_in_bounding_set, clear_ambient_capability_set,
        remove_capability_from_bounding_set, set_capabilities, set_capabilities_secure_bits,
        set_no_new_privs,
    },
};

use super::{
    filter,
    init::{Failed, at},
    politeness,
};

/// Newest set of landlock rights that this knows; an older kernel enforces what it has.
const LANDLOCK: ABI = ABI::V5;
/// Where a job may change files, as far as the mounts let it.
const WRITABLE: [&str; 5] = ["/work", "/output", "/tmp", "/dev", PROC];
const PROC: &str = "/proc";
/// Memory that a job may keep from being swapped out: what every user may.
const MAX_LOCKED_BYTES: u64 = 8 << 20;
/// What a job's message queues may hold. It counts among what the agent's user may have in all.
const MAX_QUEUED_BYTES: u64 = 256 << 10;
/// Highest capability number that is tried; the kernel refuses those it does not have.
const MAX_CAPABILITY: u32 = 63;

/// Confines this process and all that it will start. There is no way back.
pub(super) fn confine(plan: &SandboxPlan) -> Result<(), Failed> {
    limit(plan).map_err(at("set resource limits"))?;
    give_up_capabilities().map_err(at("give up capabilities"))?;
    set_no_new_privs(true).map_err(at("forbid new privileges"))?;
    // Best effort: mounts and capabilities hold without it, and older kernels have none.
    let _ = restrict_paths(AccessFs::from_all(LANDLOCK), &WRITABLE);
    // Some kernels are built without: their disks know no order.
    let _ = politeness::wait_at_disks();
    filter::install().map_err(at("install the system call filter"))
}

/// Bounds what a process has mapped, where that is all that there is: not the same as a limit on the whole job, each
/// process has at most so much. Called last by the process that becomes the job's program, because the agent's own,
/// from which it was forked, may have more. A kernel in user space maps far more than it uses, and counts by itself.
pub(super) fn limit_mapped(plan: &SandboxPlan) -> io::Result<()> {
    let is_kernel = matches!(plan.backend, Backend::Runsc { .. });
    let mapped = plan.limits.mapped.filter(|_| !is_kernel);
    mapped.map_or(Ok(()), |mapped| set(Resource::As, mapped.0))
}

fn set(resource: Resource, wanted: u64) -> io::Result<()> {
    let most = getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let limit = Some(wanted.min(most));
    let limit = Rlimit {
        current: limit,
        maximum: limit,
    };
    Ok(setrlimit(resource, limit)?)
}

fn limit(plan: &SandboxPlan) -> io::Result<()> {
    set(Resource::Core, 0)?;
    // Whatever the agent itself was given: no job gets ahead of the owner's own work.
    set(Resource::Rtprio, 0)?;
    set(Resource::Nice, 0)?;
    set(Resource::Memlock, MAX_LOCKED_BYTES)?;
    set(Resource::Msgqueue, MAX_QUEUED_BYTES)?;
    set(Resource::Nofile, plan.limits.open_files)?;
    if plan.disk == DiskBound::Counted {
        set(Resource::Fsize, plan.limits.disk.0.max(1))?;
    }
    // Counted among the users of this sandbox only, as it has a user namespace of its own.
    set(Resource::Nproc, u64::from(plan.limits.processes))
}

fn give_up_capabilities() -> io::Result<()> {
    clear_ambient_capability_set()?;
    for number in 0..=MAX_CAPABILITY {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match remove_capability_from_bounding_set(capability) {
            Err(rustix::io::Errno::INVAL) => break,
            // Whoever built the sandbox has taken it away already, and the right to do so.
            Err(rustix::io::Errno::PERM) => match capability_is_in_bounding_set(capability) {
                Ok(true) => return Err(io::ErrorKind::PermissionDenied.into()),
                Ok(false) => {}
                Err(_) => break,
            },
            other => other?,
        }
    }
    let locked = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    match set_capabilities_secure_bits(locked) {
        // Not needed where there is nothing to be raised, and never will be.
        Err(rustix::io::Errno::PERM) if capabilities(None)?.permitted.is_empty() => {}
        other => other?,
    }
    let none = CapabilitySet::empty();
    set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )?;
    Ok(())
}

/// Keeps this process, and what it will start, from writing to files of processes.
pub(super) fn close_proc() -> Result<(), RulesetError> {
    let others: Vec<&str> = WRITABLE.into_iter().filter(|path| *path != PROC).collect();
    restrict_paths(AccessFs::WriteFile.into(), &others)
}

/// Allows these kinds of access to `writable` alone; of them, what reads is allowed everywhere.
fn restrict_paths(access: BitFlags<AccessFs>, writable: &[&str]) -> Result<(), RulesetError> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(access)?
        .create()?;
    let open = |path| PathFd::new(path).ok();
    let reading = access & AccessFs::from_read(LANDLOCK);
    if let Some(root) = open("/").filter(|_| !reading.is_empty()) {
        rules = rules.add_rule(PathBeneath::new(root, reading))?;
    }
    for path in writable {
        if let Some(folder) = open(*path) {
            rules = rules.add_rule(PathBeneath::new(folder, access))?;
        }
    }
    rules.restrict_self().map(|_| ())
}
