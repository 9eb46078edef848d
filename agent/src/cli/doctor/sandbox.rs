//! How well this machine holds jobs in: tried, as the agent tries it at its start.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use agent_core::sandbox_plan::{Cgroup, Host};
use common::{
    machine::Isolation,
    status::{IsolationLevel, Network},
};

use super::finding::Finding;
use crate::sandbox;

/// Programs that install packages, and how they are told to.
const INSTALLERS: [(&str, &str); 4] = [
    ("/usr/bin/apt-get", "apt-get install"),
    ("/usr/bin/dnf", "dnf install"),
    ("/usr/bin/pacman", "pacman -S"),
    ("/usr/bin/zypper", "zypper install"),
];
/// What a user-mode network is made on.
const TUN: &str = "/dev/net/tun";

/// Tries everything; `scratch` is an empty folder.
pub(super) fn findings(scratch: &Path) -> Vec<Finding> {
    let host = sandbox::host(BTreeMap::new());
    let isolation = sandbox::probe(scratch, &host);
    let mut findings = vec![
        level(&isolation),
        cgroups(&host),
        user_namespaces(&isolation),
    ];
    findings.extend(networks(&isolation, &host));
    findings.push(strong(&isolation, &host));
    findings.push(bubblewrap(&host));
    findings
}

fn level(isolation: &Isolation) -> Finding {
    let level = isolation.level;
    let words = match level {
        IsolationLevel::A => "every job has a user of its own, and every limit holds",
        IsolationLevel::B => "every limit holds; jobs have no user of their own on the host",
        IsolationLevel::C => "jobs are held in; what they take as a whole is not limited",
        IsolationLevel::D => "jobs are not held in, so this machine runs nothing of others",
    };
    let mut text = format!("level {level}: {words}");
    for line in &isolation.missing {
        text += &format!("\n- {line}");
    }
    let finding = match level {
        IsolationLevel::A => Finding::ok("isolation", text),
        IsolationLevel::B | IsolationLevel::C => Finding::better("isolation", text),
        IsolationLevel::D => Finding::missing("isolation", text),
    };
    finding.remedy_if_any(isolation.remedy.clone())
}

fn cgroups(host: &Host) -> Finding {
    match &host.cgroup {
        Cgroup::V2 { base } => Finding::ok("cgroups", format!("version 2, in {}", base.display())),
        Cgroup::V1 { memory, .. } => Finding::ok(
            "cgroups",
            format!("version 1, such as {}", memory.display()),
        ),
        Cgroup::None => {
            let text = "none that this user may use: memory and processors are not limited for a \
                        job as a whole";
            Finding::better("cgroups", text)
        }
    }
}

/// Only their settings are looked at: that they work is what the isolation's own trial has shown.
fn user_namespaces(isolation: &Isolation) -> Finding {
    match (sandbox::user_namespaces_remedy(), isolation.level) {
        (None, IsolationLevel::D) => Finding::unknown("user namespaces", "no setting forbids them"),
        (None, _) => Finding::ok("user namespaces", "they can be made"),
        (Some(remedy), IsolationLevel::D) => {
            Finding::missing("user namespaces", "a setting of the kernel forbids them")
                .remedy(remedy)
        }
        // Root may make them in spite of the setting.
        (Some(_), _) => Finding::ok("user namespaces", "they can be made by this user"),
    }
}

fn networks(isolation: &Isolation, host: &Host) -> Vec<Finding> {
    let can: Vec<&str> = isolation.networks.iter().map(|one| one.as_str()).collect();
    let mut findings = vec![Finding::ok(
        "networks",
        format!("jobs can have: {}", can.join(", ")),
    )];
    let text = "one of the programs that a job's `network: full` takes";
    findings.push(program(
        "slirp4netns",
        "slirp4netns",
        host.tools.slirp4netns.as_ref(),
        text,
    ));
    findings.push(program("nft", "nftables", host.tools.nft.as_ref(), text));
    let opened = std::fs::File::options().read(true).write(true).open(TUN);
    let full = isolation.networks.contains(&Network::Full);
    match opened {
        Err(error) if !full => {
            let text = format!("{TUN}: {error}; `network: full` takes it");
            findings.push(
                Finding::better("tun device", text).remedy(as_root(&format!("chmod 0666 {TUN}"))),
            );
        }
        _ => {}
    }
    findings
}

fn strong(isolation: &Isolation, host: &Host) -> Finding {
    if isolation.strong {
        return Finding::ok("gVisor", "jobs can ask for `isolation: strong`");
    }
    match &host.tools.runsc {
        Some(path) => {
            let text = format!(
                "{} is there, and no job could be run with it",
                path.display()
            );
            Finding::better("gVisor", text)
        }
        None => {
            let text = "not installed: jobs that ask for `isolation: strong` go elsewhere";
            Finding::better("gVisor", text).remedy(installing("runsc"))
        }
    }
}

fn bubblewrap(host: &Host) -> Finding {
    match &host.tools.bwrap {
        Some(path) => Finding::ok("bubblewrap", format!("{} (not needed)", path.display())),
        None => Finding::ok("bubblewrap", "not installed, and not needed"),
    }
}

fn program(check: &'static str, package: &str, found: Option<&PathBuf>, what: &str) -> Finding {
    match found {
        Some(path) => Finding::ok(check, path.display().to_string()),
        None => {
            let text = format!("not installed: {what}");
            Finding::better(check, text).remedy(installing(package))
        }
    }
}

/// Returns the command that installs a package here.
pub(super) fn installing(package: &str) -> String {
    let found = INSTALLERS
        .iter()
        .find(|(program, _)| Path::new(program).is_file());
    match found {
        Some((_, command)) => as_root(&format!("{command} {package}")),
        None => format!("install {package}"),
    }
}

/// Returns the command as this user has to type it.
pub(super) fn as_root(command: &str) -> String {
    if rustix::process::geteuid().is_root() {
        command.to_owned()
    } else {
        format!("sudo {command}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    fn isolation(level: IsolationLevel) -> Isolation {
        Isolation {
            level,
            missing: vec!["processor time is not limited".to_owned()],
            remedy: Some("sudo do it".to_owned()),
            strong: false,
            networks: vec![Network::None],
        }
    }

    #[test]
    fn only_a_machine_that_holds_nothing_in_cannot_lend() {
        for (each, expect) in [
            (IsolationLevel::A, Verdict::Ok),
            (IsolationLevel::B, Verdict::Better),
            (IsolationLevel::C, Verdict::Better),
            (IsolationLevel::D, Verdict::Missing),
        ] {
            let finding = level(&isolation(each));
            assert_eq!(finding.verdict, expect);
            assert!(
                finding.text.contains(&format!("level {each}")),
                "{finding:?}"
            );
            assert!(finding.text.ends_with("- processor time is not limited"));
            assert_eq!(finding.remedy.as_deref(), Some("sudo do it"));
        }
    }

    #[test]
    fn a_program_that_is_not_there_comes_with_its_command() {
        let finding = program("nft", "nftables", None, "why it matters");
        assert_eq!(finding.verdict, Verdict::Better);
        assert!(finding.remedy.unwrap().contains("nftables"));
        let there = program("nft", "nftables", Some(&"/usr/sbin/nft".into()), "");
        assert_eq!((there.verdict, there.remedy), (Verdict::Ok, None));
    }
}
