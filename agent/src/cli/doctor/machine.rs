//! Disk, clock, the owner's file, and whether it can be told that somebody is at the machine.

use std::path::Path;

use agent_core::owner::PresenceSource;
use common::{time::Timestamp, units::Bytes};

use super::{
    super::moments::{local, now},
    finding::Finding,
    sandbox::as_root,
};
use crate::{
    probe::{
        OwnerFile,
        surroundings::{Roots, presence_source},
    },
    registration::AgentFolder,
};

/// With less disk than this, hardly a job can be made ready.
const LEAST_DISK: Bytes = Bytes::gib(1);
/// With less than this, datasets are fetched again and again.
const GOOD_DISK: Bytes = Bytes::gib(20);
/// A clock before this moment is surely wrong: 2026-01-01.
const EARLIEST: Timestamp = Timestamp::from_unix_ms(1_767_225_600_000);

pub(super) async fn findings(folder: &AgentFolder) -> Vec<Finding> {
    vec![
        disk(folder.path()),
        clock(now(), system::is_synchronised()),
        presence(presence_source(&Roots::default()).await),
        rules(folder),
    ]
}

/// Looks at the disk under the agent's folder, or where that would be.
fn disk(folder: &Path) -> Finding {
    let stat = folder
        .ancestors()
        .find_map(|folder| rustix::fs::statvfs(folder).ok());
    let Some(stat) = stat else {
        return Finding::unknown("disk", format!("{} cannot be looked at", folder.display()));
    };
    room(Bytes(stat.f_bavail.saturating_mul(stat.f_frsize)), folder)
}

fn room(free: Bytes, folder: &Path) -> Finding {
    let text = format!("{free} free for {}", folder.display());
    if free < LEAST_DISK {
        Finding::missing("disk", text)
            .remedy("free some space, or use another folder with --data DIR")
    } else if free < GOOD_DISK {
        let text = format!("{text}: little for datasets and images");
        Finding::better("disk", text)
    } else {
        Finding::ok("disk", text)
    }
}

/// Certificates are only good at their time, so a clock that is far off shuts a machine out.
fn clock(now: Timestamp, synchronised: Option<bool>) -> Finding {
    let set = as_root("timedatectl set-ntp true");
    let text = local(now);
    match synchronised {
        _ if now < EARLIEST => {
            Finding::missing("clock", format!("{text}, which is wrong")).remedy(set)
        }
        Some(true) => Finding::ok("clock", format!("{text}, kept right over the network")),
        Some(false) => {
            Finding::better("clock", format!("{text}, and nothing keeps it right")).remedy(set)
        }
        None => Finding::unknown(
            "clock",
            format!("{text}; whether it is kept right cannot be told"),
        ),
    }
}

fn presence(source: Option<PresenceSource>) -> Finding {
    match source {
        Some(source) => {
            let text = format!(
                "by {}: it can be told whether somebody is here",
                source.as_str()
            );
            Finding::ok("presence", text)
        }
        None => Finding::unknown(
            "presence",
            "cannot tell here whether somebody is at the machine: rules about that do not apply",
        ),
    }
}

fn rules(folder: &AgentFolder) -> Finding {
    let path = folder.owner_rules();
    match OwnerFile::open(path.clone()) {
        Err(problem) => {
            let text = format!("{}: {}", path.display(), problem.why);
            Finding::missing("owner.yaml", text).remedy(problem.help)
        }
        Ok(_) if path.exists() => {
            Finding::ok("owner.yaml", format!("{} can be used", path.display()))
        }
        Ok(_) => {
            let text = format!(
                "none, so everything is lent; rules go into {}",
                path.display()
            );
            Finding::ok("owner.yaml", text)
        }
    }
}

mod system {
    #![allow(
        unsafe_code,
        reason = "no safe function asks the kernel about its clock"
    )]

    /// Returns whether something keeps the kernel's clock right; `None` where it does not say.
    pub(super) fn is_synchronised() -> Option<bool> {
        // SAFETY: `timex` is made of numbers only, for which zero is a value.
        let mut timex: libc::timex = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel fills the structure that it is given; no mode is set, so it changes nothing.
        match unsafe { libc::adjtimex(&raw mut timex) } {
            -1 => None,
            state => Some(state != libc::TIME_ERROR),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn a_full_disk_and_a_wrong_clock_keep_a_machine_from_lending() {
        let disk = |free| room(free, Path::new("/data")).verdict;
        assert_eq!(disk(Bytes::mib(100)), Verdict::Missing);
        assert_eq!(disk(Bytes::gib(5)), Verdict::Better);
        assert_eq!(disk(Bytes::gib(100)), Verdict::Ok);
        let later = EARLIEST.saturating_add(std::time::Duration::from_secs(1));
        assert_eq!(
            clock(Timestamp::default(), Some(true)).verdict,
            Verdict::Missing
        );
        assert_eq!(clock(later, Some(true)).verdict, Verdict::Ok);
        assert_eq!(clock(later, Some(false)).verdict, Verdict::Better);
        assert_eq!(clock(later, None).verdict, Verdict::Unknown);
    }

    #[tokio::test]
    async fn presence_is_told_or_it_is_said_that_it_cannot_be() {
        let temp = tempfile::tempdir().unwrap();
        let nowhere = Roots::standing_in(temp.path(), "unix:path=/nowhere");
        let finding = presence(presence_source(&nowhere).await);
        assert_eq!(finding.verdict, Verdict::Unknown);
        assert!(finding.text.starts_with("cannot tell here"), "{finding:?}");
        let told = presence(Some(PresenceSource::InputDevices));
        assert_eq!(
            told,
            Finding::ok(
                "presence",
                "by keyboard and mouse: it can be told whether somebody is here"
            )
        );
    }

    #[test]
    fn a_mistake_in_the_owners_file_is_found() {
        let temp = tempfile::tempdir().unwrap();
        let folder = AgentFolder::new(temp.path());
        assert_eq!(rules(&folder).verdict, Verdict::Ok);
        std::fs::write(folder.owner_rules(), "resources: {cpu_limt: 80}").unwrap();
        let finding = rules(&folder);
        assert_eq!(finding.verdict, Verdict::Missing);
        assert!(finding.text.contains("cpu_limit"), "{finding:?}");
    }

    #[test]
    fn the_disk_of_a_folder_that_is_not_there_yet_is_that_of_its_parent() {
        let temp = tempfile::tempdir().unwrap();
        let finding = disk(&temp.path().join("a/b/c"));
        assert_ne!(finding.verdict, Verdict::Unknown, "{finding:?}");
    }
}
