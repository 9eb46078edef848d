//! The agent on this machine: whether it comes with the machine's start, runs, is registered, and finds its
//! coordinator.

use std::path::{Path, PathBuf};

use certs::client_config;
use common::{
    problem::Problem,
    wire::{ALPN_JOIN, close},
};
use link::endpoint::Dialer;

use super::{finding::Finding, sandbox::as_root};
use crate::{
    control::{AgentStatus, ControlAnswer, ControlRequest, ask},
    machine::local_problem,
    registration::{AgentFolder, Registration},
};

/// Our unit's name.
const UNIT: &str = "compute-share-agent.service";
/// Where units are.
const UNIT_FOLDERS: [&str; 3] = [
    "/etc/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// There where systemd runs the machine.
const SYSTEMD: &str = "/run/systemd/system";
/// What a unit that comes with the machine's start is linked into.
const WANTED: &str = "/etc/systemd/system/multi-user.target.wants";

pub(super) async fn findings(folder: &AgentFolder) -> Vec<Finding> {
    let unit = UNIT_FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join(UNIT));
    let unit = unit.into_iter().find(|unit| unit.is_file());
    let enabled = Path::new(WANTED).join(UNIT).symlink_metadata().is_ok();
    let systemd = Path::new(SYSTEMD).is_dir();
    let mut findings = vec![service(systemd, unit, enabled), agent(running(folder))];
    match Registration::load(folder) {
        Err(problem) => {
            findings.push(Finding::missing("registration", problem.why).remedy(problem.help))
        }
        Ok(None) => {
            let text = format!("none in {}", folder.path().display());
            let remedy = "compute-share register --name NAME";
            findings.push(Finding::better("registration", text).remedy(remedy));
        }
        Ok(Some(known)) => {
            findings.push(Finding::ok(
                "registration",
                format!("{} in {}", known.name, known.org),
            ));
            findings.push(coordinator(&known.address, reach(&known).await));
        }
    }
    findings
}

fn service(systemd: bool, unit: Option<PathBuf>, enabled: bool) -> Finding {
    match unit {
        _ if !systemd => {
            let text =
                "no systemd here: the agent has to be started after every start of the machine";
            Finding::better("service", text).remedy("compute-share start")
        }
        None => {
            let text =
                "not installed: the agent has to be started after every start of the machine";
            Finding::better("service", text).remedy("install the package of compute-share")
        }
        Some(unit) if enabled => Finding::ok("service", format!("{}, enabled", unit.display())),
        Some(unit) => Finding::better("service", format!("{}, not enabled", unit.display()))
            .remedy(as_root(&format!("systemctl enable --now {UNIT}"))),
    }
}

fn running(folder: &AgentFolder) -> Option<AgentStatus> {
    match ask(folder.path(), &ControlRequest::Status) {
        Ok(ControlAnswer::Status(status)) => Some(*status),
        _ => None,
    }
}

fn agent(status: Option<AgentStatus>) -> Finding {
    match status {
        Some(status) => {
            let (process, connection) = (status.process_id, status.connection.as_str());
            let level = status.isolation.level;
            let text = format!("process {process}, {connection}, found level {level} at its start");
            Finding::ok("agent", text)
        }
        None => Finding::better("agent", "does not run").remedy("compute-share start"),
    }
}

/// Shakes hands with the coordinator, as whoever holds its fingerprint can, and says goodbye.
async fn reach(registration: &Registration) -> Result<(), Problem> {
    let what = "the coordinator cannot be asked";
    certs::install_crypto();
    let dialer = Dialer::new().map_err(|error| local_problem(what, &error))?;
    let tls = client_config(registration.fingerprint, None, ALPN_JOIN)
        .map_err(|error| local_problem(what, &error))?;
    let connection = dialer.dial(&registration.address, tls).await?;
    connection.close(close::DONE.into(), b"");
    Ok(())
}

fn coordinator(address: &str, reached: Result<(), Problem>) -> Finding {
    match reached {
        Ok(()) => Finding::ok(
            "coordinator",
            format!("{address} answers, with the right fingerprint"),
        ),
        Err(problem) => {
            let text = format!("{}: {}", problem.what, problem.why);
            Finding::missing("coordinator", text).remedy(problem.help)
        }
    }
}

#[cfg(test)]
mod tests {
    use common::code::Code;

    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn a_service_is_there_and_enabled_or_there_is_something_to_do() {
        let unit = || Some(PathBuf::from("/etc/systemd/system").join(UNIT));
        assert_eq!(service(true, unit(), true).verdict, Verdict::Ok);
        let off = service(true, unit(), false);
        assert!(
            off.remedy
                .unwrap()
                .ends_with("systemctl enable --now compute-share-agent.service")
        );
        assert_eq!(service(true, None, false).verdict, Verdict::Better);
        let without = service(false, unit(), true);
        assert_eq!(without.remedy.as_deref(), Some("compute-share start"));
    }

    #[test]
    fn a_coordinator_that_does_not_answer_keeps_a_machine_from_lending() {
        let gone = Problem::new(Code::Unreachable, "cannot reach it", "nobody answers");
        let finding = coordinator("lab:7443", Err(gone));
        assert_eq!(finding.verdict, Verdict::Missing);
        assert_eq!(finding.text, "cannot reach it: nobody answers");
        assert_eq!(coordinator("lab:7443", Ok(())).verdict, Verdict::Ok);
    }

    #[tokio::test]
    async fn a_machine_that_is_not_registered_is_told_how() {
        let temp = tempfile::tempdir().unwrap();
        let findings = findings(&AgentFolder::new(temp.path())).await;
        let registration = findings
            .iter()
            .find(|one| one.check == "registration")
            .unwrap();
        assert_eq!(
            registration.remedy.as_deref(),
            Some("compute-share register --name NAME")
        );
        assert!(findings.iter().all(|one| one.check != "coordinator"));
    }
}
