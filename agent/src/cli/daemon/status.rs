//! `status`: what this machine lends and runs, in words.

use common::{
    machine::{Pause, PausedBy},
    problem::Problem,
    time::{Span, Timestamp},
};

use super::super::{
    Context,
    machine::{gpu_counts, isolation},
    moments::{local, now},
    output::Facts,
    pausing::reason_and_end,
    table::Table,
};
use crate::control::{AgentStatus, ConnectionState, GpuPause, PeerStatus, RunningAttempt};

pub(super) fn pause_text(pause: Option<&Pause>) -> String {
    let Some(pause) = pause else {
        return "This machine lends".to_owned();
    };
    let by_hand = pause.by == PausedBy::Command && pause.reason.is_empty();
    match pause.until {
        None if by_hand => "This machine lends nothing new until `compute-share resume`".to_owned(),
        Some(until) if by_hand => {
            format!("This machine lends nothing new until {}", local(until))
        }
        _ => format!("This machine lends nothing new: {}", reason_and_end(pause)),
    }
}

/// Returns a line for each GPU that is kept back.
pub(super) fn gpu_pauses(gpus: &[GpuPause]) -> String {
    let lines = gpus
        .iter()
        .map(|kept| format!("{}: {}", kept.gpu, reason_and_end(&kept.pause)));
    lines.collect::<Vec<_>>().join("\n")
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
        .with("lending", standing(status))
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
        .with("peers", peers(&status.peers))
        .with("gpus not lent", gpu_pauses(&status.gpu_pauses))
        .with("surroundings", status.circumstances.join("\n"))
        .with("isolation", isolation(&status.isolation))
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
        text += &format!("\n{}", running(&status.running, now()));
    }
    text
}

/// Returns what other machines get from this one, and it from them.
fn peers(peers: &PeerStatus) -> String {
    let moved = format!("{} served, {} fetched", peers.served, peers.fetched);
    if peers.addresses.is_empty() {
        return format!("data is not shared with other machines; {moved}");
    }
    let at: Vec<String> = peers.addresses.iter().map(ToString::to_string).collect();
    let rate = match peers.rate {
        Some(rate) => format!(", {rate} at most"),
        None => String::new(),
    };
    format!("others fetch data at {}{rate}; {moved}", at.join(", "))
}

/// Returns whether the machine lends, in the agent's words.
fn standing(status: &AgentStatus) -> String {
    if status.standing.is_empty() {
        pause_text(status.pause.as_ref())
    } else {
        status.standing.clone()
    }
}

/// Returns what runs here, for whom, and what it uses now.
fn running(attempts: &[RunningAttempt], now: Timestamp) -> String {
    let mut table = Table::new(&[
        "JOB", "NAME", "BY", ">CPU", ">MEMORY", ">DISK", ">GPUS", "STATE",
    ]);
    for attempt in attempts {
        let sample = attempt.sample.as_ref();
        let of = |used: Option<String>, held: String| match used {
            Some(used) => format!("{used} of {held}"),
            None => held,
        };
        table.row([
            format!("{}.{}", attempt.job, attempt.task),
            attempt.job_name.clone(),
            attempt.submitter.to_string(),
            of(
                sample.map(|sample| format!("{} %", sample.cpu_percent)),
                attempt.cpu.to_string(),
            ),
            of(
                sample.and_then(|sample| Some(sample.memory?.to_string())),
                attempt.memory.to_string(),
            ),
            sample
                .map(|sample| sample.disk.to_string())
                .unwrap_or_default(),
            match attempt.gpus.len() {
                0 => String::new(),
                count => count.to_string(),
            },
            state(attempt, now),
        ]);
    }
    table.without_empty_columns().to_text("")
}

fn state(attempt: &RunningAttempt, now: Timestamp) -> String {
    let for_so_long = |since: Timestamp| Span::from(now.since(since));
    match (attempt.stopping, attempt.frozen_since, attempt.started_at) {
        (true, ..) => "stopping".to_owned(),
        (false, Some(since), _) => format!("frozen for {}", for_so_long(since)),
        (false, None, Some(since)) => format!("running for {}", for_so_long(since)),
        (false, None, None) => "preparing".to_owned(),
    }
}

#[cfg(test)]
mod tests;
