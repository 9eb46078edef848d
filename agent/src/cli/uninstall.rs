//! `uninstall`: takes the agent off this machine, and says exactly what goes.

use clap::Args;
use common::{
    api::{Answer, Request},
    code::Code,
    problem::Problem,
};
use serde::Serialize;

use super::{
    Context,
    amounts::counted,
    daemon::wait_for_end,
    escape,
    session::{ask as request, find_org},
};
use crate::{
    client::Client,
    control::{ControlAnswer, ControlRequest, StopHow, ask},
    registration::{AgentFolder, Registration},
    uninstall::{Remains, remove},
};

const WHAT: &str = "the agent cannot be taken off this machine";

/// Take the agent off this machine: end its jobs, remove all that it made
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share uninstall --dry-run\n  compute-share uninstall --yes\n\nYour own sign-in stays, unless --all is given. The program itself goes with its package."
)]
pub(super) struct Uninstall {
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    /// Forget your own sign-in, too
    #[arg(long)]
    all: bool,
}

/// What goes, or has gone.
#[derive(Debug, Serialize)]
struct Report {
    dry_run: bool,
    /// Process of the agent that runs.
    agent: Option<u32>,
    jobs: usize,
    gone: Vec<String>,
    stays: Vec<String>,
}

impl Uninstall {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let folder = AgentFolder::new(&context.folders.agent);
        let agent = running_agent(&folder)?;
        let found = Remains::of(&folder).map_err(|error| cannot(&error))?;
        let mut report = Report {
            dry_run: self.dry_run,
            agent,
            jobs: found.running.len(),
            gone: found.lines(),
            stays: stays(&found, self.all),
        };
        if self.all {
            let sign_in = &context.folders.config;
            report
                .gone
                .push(format!("the sign-in in {}", sign_in.display()));
        }
        let registration = Registration::load(&folder).unwrap_or_default();
        if self.dry_run {
            report.gone.extend(registration.map(|known| {
                format!(
                    "machine {} of {}, where you are signed in",
                    known.name, known.org
                )
            }));
            return show(context, &report);
        }
        for line in report.text("goes").lines() {
            context.output.note(line);
        }
        let consequence = match report.jobs {
            0 => "All of this goes.".to_owned(),
            jobs => format!(
                "All of this goes, and {} here end.",
                counted(jobs as u64, "job")
            ),
        };
        context.consent.obtain("uninstalling", &consequence)?;
        if agent.is_some() {
            ask(folder.path(), &ControlRequest::Stop { how: StopHow::Now })?;
            wait_for_end(folder.path())?;
        }
        // While there still is a registration to say which machine it was.
        if let Some(known) = registration {
            match leave_org(context, &known).await {
                Ok(()) => report.gone.push(format!("machine {} of {}", known.name, known.org)),
                Err(problem) => report.stays.push(format!(
                    "machine {name} of {org} ({}); an admin runs `compute-share machine remove {name}`",
                    problem.why,
                    name = known.name,
                    org = known.org,
                )),
            }
        }
        remove(&folder).await.map_err(|error| cannot(&error))?;
        if self.all {
            context.store().remove()?;
            // Other files in it, if any, are not ours.
            let _ = std::fs::remove_dir(&context.folders.config);
        }
        let left = Remains::of(&folder).map_err(|error| cannot(&error))?;
        report.gone.retain(|gone| !left.lines().contains(gone));
        report.stays.extend(
            left.lines()
                .into_iter()
                .map(|line| format!("{line} (in use)")),
        );
        show(context, &report)
    }
}

/// Returns the process of the agent, where one runs.
fn running_agent(folder: &AgentFolder) -> Result<Option<u32>, Problem> {
    match ask(folder.path(), &ControlRequest::Status) {
        Ok(ControlAnswer::Status(status)) => Ok(Some(status.process_id)),
        Err(problem) if problem.code == Code::AgentNotRunning => Ok(None),
        Err(problem) => Err(problem),
        Ok(_) => Err(Problem::new(
            Code::Protocol,
            WHAT,
            "the agent gave no status",
        )),
    }
}

fn stays(found: &Remains, all: bool) -> Vec<String> {
    let others = found
        .others
        .iter()
        .map(|path| format!("{} (not the agent's)", path.display()));
    let sign_in = (!all).then(|| "your own sign-in (--all forgets it)".to_owned());
    others.chain(sign_in).collect()
}

/// Tells the org, where this computer's member is signed in and may.
async fn leave_org(context: &Context, registration: &Registration) -> Result<(), Problem> {
    let client = Client::connect(&context.store()).await?;
    let org = find_org(&client, &registration.org).await?;
    let name = registration.name.clone();
    let session = Asking { client };
    let shown = Request::ShowMachine {
        org,
        name: name.clone(),
    };
    let machine = request!(session, shown, Answer::Machine(machine) => machine)?;
    if machine.id != registration.machine {
        let why = format!("{name} is another machine by now");
        return Err(Problem::new(Code::WrongState, WHAT, why));
    }
    request!(session, Request::RemoveMachine { org, name }, Answer::Done => ())?;
    session.client.close().await;
    Ok(())
}

/// What the macro asks with.
struct Asking {
    client: Client,
}

fn cannot(error: &std::io::Error) -> Problem {
    Problem::new(Code::Io, WHAT, error.to_string())
        .help("Run it again as the user who runs the agent, or as root.")
}

fn show(context: &Context, report: &Report) -> Result<(), Problem> {
    let word = if report.dry_run { "would go" } else { "gone" };
    let text = |report: &Report| report.text(word);
    context
        .output
        .show(report, |report| report.gone.clone(), text)
}

impl Report {
    /// Returns what goes, under that word, and what stays.
    fn text(&self, going: &str) -> String {
        let mut lines: Vec<String> = Vec::new();
        let ending = self
            .agent
            .map(|process| format!("the agent, process {process}"));
        let jobs = Some(self.jobs).filter(|jobs| *jobs > 0);
        let jobs = jobs.map(|jobs| counted(jobs as u64, "running job"));
        lines.extend(
            ending
                .into_iter()
                .chain(jobs)
                .map(|what| format!("{going:8}  {what}")),
        );
        for (word, things) in [(going, &self.gone), ("stays", &self.stays)] {
            let things = things.iter().map(|thing| escape::line(thing));
            lines.extend(things.map(|thing| format!("{word:8}  {thing}")));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_and_what_stays_are_told_line_by_line() {
        let report = Report {
            dry_run: true,
            agent: Some(7),
            jobs: 1,
            gone: vec!["/x\u{1b}[2J".to_owned()],
            stays: vec!["your own sign-in".to_owned()],
        };
        assert_eq!(
            report.text("would go"),
            "would go  the agent, process 7\nwould go  1 running job\nwould go  /x\\u{1b}[2J\n\
             stays     your own sign-in"
        );
    }
}
