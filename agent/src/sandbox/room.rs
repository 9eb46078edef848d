//! Lets systemd start this service again while jobs of the last start run.
//!
//! Before version 254 systemd starts a service in the very cgroup whose parts the jobs live in, and the kernel
//! takes no process into a cgroup that hands limits down. So, after each end, the limits are handed down no
//! longer, and the jobs are frozen while they have none; the next agent moves itself into a part of its own,
//! and has every job's supervisor set the limits again and let it go on. Called by the unit.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use super::cgroup::{PREFIX, write};

/// From this version on systemd knows `DelegateSubgroup`, and starts the service in a part of its own.
const FIRST_WITH_SUBGROUP: u32 = 254;
/// Where systemd puts what it runs after the service itself.
const CONTROL: &str = ".control";

/// Makes room for the service in its own cgroup. Called from the unit's `ExecStopPost`, whose processes have a
/// place of their own. Returns `None` where that did not work; then systemd says why it cannot start the service.
pub(crate) fn make_room() -> Option<i32> {
    if systemd_version().is_none_or(|version| version >= FIRST_WITH_SUBGROUP) {
        return Some(0);
    }
    let top = service_cgroup()?;
    let jobs = top.join("jobs");
    if jobs.exists() {
        // One by one: the next agent tries its sandboxes beside them.
        for job in fs::read_dir(&jobs).ok()?.flatten() {
            if job.file_name().to_string_lossy().starts_with(PREFIX) {
                freeze(&job.path()).ok()?;
            }
        }
        hand_nothing_down(&jobs).ok()?;
        hand_nothing_down(&top).ok()?;
    }
    Some(0)
}

/// Freezes a job, if it has not ended meanwhile.
fn freeze(job: &Path) -> io::Result<()> {
    match write(job, "cgroup.freeze", "1") {
        Err(_) if !job.exists() => Ok(()),
        other => other,
    }
}

/// Takes back whatever is handed down: who added to that does not matter here.
fn hand_nothing_down(folder: &Path) -> io::Result<()> {
    let handed = fs::read_to_string(folder.join("cgroup.subtree_control"))?;
    let all: Vec<String> = handed
        .split_whitespace()
        .map(|name| format!("-{name}"))
        .collect();
    write(folder, "cgroup.subtree_control", &all.join(" "))
}

fn systemd_version() -> Option<u32> {
    let output = Command::new("systemctl").arg("--version").output().ok()?;
    version_in(&String::from_utf8_lossy(&output.stdout))
}

fn version_in(text: &str) -> Option<u32> {
    let number = text.strip_prefix("systemd ")?;
    let end = number.find(|c: char| !c.is_ascii_digit())?;
    number[..end].parse().ok()
}

fn service_cgroup() -> Option<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let place = Path::new("/sys/fs/cgroup").join(own);
    let top = place.parent().filter(|_| place.ends_with(CONTROL))?;
    Some(top.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_handed_down_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cgroup.subtree_control");
        fs::write(&file, "cpu io memory pids\n").unwrap();
        hand_nothing_down(folder.path()).unwrap();
        // The kernel reads it as a list of changes; here it stays as written over the start of the file.
        assert!(
            fs::read_to_string(&file)
                .unwrap()
                .starts_with("-cpu -io -memory -pids")
        );
    }

    #[test]
    fn a_job_that_has_ended_meanwhile_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        assert!(freeze(&folder.path().join("gone")).is_ok());
        assert!(freeze(folder.path()).is_err());
    }

    #[test]
    fn versions_of_every_distribution_are_read() {
        for (text, expect) in [
            ("systemd 252 (252.39-1~deb12u2)\n+PAM", Some(252)),
            ("systemd 257.5-2-arch (x)", Some(257)),
            ("systemd", None),
            ("OpenRC 0.5", None),
        ] {
            assert_eq!(version_in(text), expect, "{text}");
        }
    }
}
