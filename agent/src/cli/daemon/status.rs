//! `status`: what this machine lends and runs, in words.

use common::{machine::Pause, problem::Problem};

use super::super::{
    Context,
    machine::gpu_counts,
    moments::{ago, local, now},
    output::Facts,
    table::Table,
};
use crate::control::{AgentStatus, ConnectionState};

pub(super) fn pause_text(pause: Option<&Pause>) -> String {
    match pause {
        None => "This machine lends".to_owned(),
        Some(Pause { until: None, .. }) => {
            "This machine lends nothing new until `compute-share resume`".to_owned()
        }
        Some(Pause {
            until: Some(until), ..
        }) => {
            format!("This machine lends nothing new until {}", local(*until))
        }
    }
}

pub(super) fn show_status(context: &Context, status: &AgentStatus) -> Result<(), Problem> {
    context.output.show(
        status,
        |status| vec![status.machine.to_string()],
        status_text,
    )
}

fn status_text(status: &AgentStatus) -> String {
    let (offer, capacity) = (&status.offer, &status.capacity);
    let of = |lent: String, there: String| format!("{lent} lent of {there}");
    let problem = match &status.connection {
        ConnectionState::Connecting { problem, .. } => problem.as_ref(),
        ConnectionState::Ended { problem } => Some(problem),
        _ => None,
    };
    let mut text = Facts::default()
        .with("machine", format!("{} in {}", status.machine, status.org))
        .with(
            "coordinator",
            format!("{}, {}", status.coordinator, status.connection.as_str()),
        )
        .with_some(
            "",
            problem.map(|problem| format!("{}: {}", problem.what, problem.why)),
        )
        .with("lending", pause_text(status.pause.as_ref()))
        .with("cpu", of(offer.cpu.to_string(), capacity.cpu.to_string()))
        .with(
            "memory",
            of(offer.memory.to_string(), capacity.memory.to_string()),
        )
        .with(
            "disk",
            of(offer.disk.to_string(), capacity.disk.to_string()),
        )
        .with("gpus", gpu_counts(&offer.gpus))
        .with("isolation", status.isolation.level)
        .with("not enforced", status.isolation.missing.join("\n"))
        .with_some("remedy", status.isolation.remedy.as_ref())
        .with_some(
            "owner.yaml",
            status
                .owner_rules_problem
                .as_ref()
                .map(|problem| &problem.why),
        )
        .with(
            "agent",
            format!(
                "{}, process {}, since {}",
                status.agent_version,
                status.process_id,
                local(status.started_at)
            ),
        )
        .to_text();
    if !status.running.is_empty() {
        let mut table = Table::new(&["JOB", "NAME", "BY", ">CPU", "MEMORY", ">GPUS", "STARTED"]);
        for attempt in &status.running {
            let started = attempt.started_at.map(|at| ago(at, now()));
            table.row([
                format!("{}.{}", attempt.job, attempt.task),
                attempt.job_name.clone(),
                attempt.submitter.to_string(),
                attempt.cpu.to_string(),
                attempt.memory.to_string(),
                attempt.gpus.len().to_string(),
                if attempt.stopping {
                    "stopping".to_owned()
                } else {
                    started.unwrap_or_else(|| "preparing".to_owned())
                },
            ]);
        }
        text += &format!("\n{}", table.to_text(""));
    }
    text
}
