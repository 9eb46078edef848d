//! The job's user: what it owns on the host, and who it is inside.

use std::{fs, io};

use agent_core::sandbox_plan::{Identity, SandboxPlan};
use rustix::process::Pid;

use super::writable_folders;
use crate::sandbox::{
    init::{Failed, at},
    ownership,
};

/// Of the machine's memory hungry, jobs are the first to go: halfway between ordinary programs and certain
/// death.
const OOM_SCORE: &str = "500";

/// Gives the job the folders that it writes to.
pub(super) fn hand_over(plan: &SandboxPlan) -> Result<(), Failed> {
    let Identity::Private { uid } = plan.identity else {
        return Ok(());
    };
    writable_folders(plan)
        .try_for_each(|folder| ownership::hand_over(folder, uid))
        .map_err(at("hand over the job's folders"))
}

/// Says who the job is on the host, for a sandbox whose first process waits for that.
pub(super) fn map_user(plan: &SandboxPlan, pid: Pid) -> io::Result<()> {
    let process = format!("/proc/{}", pid.as_raw_nonzero());
    let file = |name: &str, text: &str| {
        let path = format!("{process}/{name}");
        fs::OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()))
    };
    let (uid, gid) = match plan.identity {
        Identity::Private { uid } => (uid, uid),
        Identity::Agent => {
            file("setgroups", "deny")?;
            let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
            (uid.as_raw(), gid.as_raw())
        }
    };
    file("uid_map", &format!("{} {uid} 1", plan.uid))?;
    file("gid_map", &format!("{} {gid} 1", plan.uid))?;
    file("oom_score_adj", OOM_SCORE)
}
