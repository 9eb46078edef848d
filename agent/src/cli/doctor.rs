//! `doctor`: looks at this machine as a lender, and says line by line what holds, what is missing, and the command
//! that would make it a better one. Needs neither the agent nor the network.

mod finding;

mod gpus;
mod machine;
mod sandbox;
mod service;

use std::process::ExitCode;

use clap::Args;
use common::{code::Code, problem::Problem};

use self::finding::{Diagnosis, Finding};
use super::Context;
use crate::registration::AgentFolder;

/// Check this machine, and say what would make it a better one
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share doctor\n  compute-share doctor -o json\n\nThe exit code is 0 if this machine can lend, and 1 if something has to be mended first."
)]
pub(super) struct Doctor {}

impl Doctor {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Problem> {
        let folder = AgentFolder::new(&context.folders.agent);
        let scratch = tempfile::tempdir().map_err(|error| {
            Problem::new(Code::Io, "nothing can be tried here", error.to_string())
                .help("Set TMPDIR to a folder that can be written to.")
        })?;
        let mut findings: Vec<Finding> = Vec::new();
        findings.extend(sandbox::findings(scratch.path()));
        findings.extend(gpus::findings(scratch.path()));
        findings.extend(machine::findings(&folder).await);
        findings.extend(service::findings(&folder).await);
        let diagnosis = Diagnosis::of(findings);
        context.output.show(
            &diagnosis,
            |diagnosis| diagnosis.unwell().map(|one| one.check.to_owned()).collect(),
            Diagnosis::to_text,
        )?;
        Ok(if diagnosis.can_lend {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
