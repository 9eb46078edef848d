//! What a process that works for a job gives up before it hears anything of that job.

use std::io;

use rustix::{
    fs::{Gid, Uid},
    process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit},
    thread::{set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

/// What it may still have of the machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Most {
    pub(crate) open_files: u64,
    /// Of memory of its own.
    pub(crate) data_bytes: u64,
}

/// Becomes `uid`, for root, writes no file from now on, and ends with its parent. The process has one thread.
pub(crate) fn give_up(uid: Option<u32>, most: Most) -> io::Result<()> {
    if let Some(uid) = uid {
        let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
        set_thread_groups(&[])?;
        set_thread_res_gid(group, group, group)?;
        // Its capabilities go with it.
        set_thread_res_uid(user, user, user)?;
    }
    // A change of the user forgets it, so it comes afterwards. A parent that is gone already is noticed when there is
    // nobody to tell anything.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    for (resource, wanted) in [
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Nofile, most.open_files),
        (Resource::Data, most.data_bytes),
    ] {
        let limit = Some(wanted.min(getrlimit(resource).maximum.unwrap_or(u64::MAX)));
        let limit = Rlimit {
            current: limit,
            maximum: limit,
        };
        setrlimit(resource, limit)?;
    }
    Ok(set_no_new_privs(true)?)
}
