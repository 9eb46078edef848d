//! `agent` and `start`: the daemon's process, in the foreground and in the background.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, ExitCode, Stdio},
    sync::mpsc,
    time::Duration,
};

use common::{code::Code, problem::Problem};
use serde_json::json;

use super::{
    super::{Context, runtime},
    Agent,
};
use crate::{
    control::{ControlAnswer, ControlRequest, ask},
    daemon::{self, AgentConfig},
    registration::{AgentFolder, Registration},
};

/// Longest wait for a started agent to say that it is ready.
const START_WAIT: Duration = Duration::from_secs(30);
/// What a started agent says on its stdout once it can be asked.
const READY: &str = "ready";
/// Lines of the log that are shown when an agent does not start.
const SHOWN_LOG_LINES: usize = 5;
/// Threads of the daemon; it mostly waits.
const WORKER_THREADS: usize = 2;

/// Runs the agent until it is told to stop.
pub(in super::super) fn agent(context: &Context, agent: &Agent) -> Result<ExitCode, Problem> {
    if agent.background {
        // Fails only where this process leads its session already, which is what is wanted.
        let _ = rustix::process::setsid();
    }
    link::telemetry::init(link::telemetry::Format::Text);
    certs::install_crypto();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(WORKER_THREADS);
    let ended = runtime(builder)?.block_on(run_agent(context, agent.background));
    match ended {
        Err(problem) if agent.background => {
            say(&serde_json::to_string(&problem).unwrap_or_default());
            Err(problem)
        }
        other => other.map(|()| ExitCode::SUCCESS),
    }
}

async fn run_agent(context: &Context, background: bool) -> Result<(), Problem> {
    let signals = link::shutdown::signals()
        .map_err(|error| Problem::new(Code::Io, "cannot hear signals", error.to_string()))?;
    let running = daemon::run(AgentConfig::new(&context.folders.agent)).await?;
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::warn!(%error, "systemd was not told");
    }
    if background {
        say(READY);
    } else {
        context
            .output
            .note("The agent runs. Ctrl-C stops it; jobs go on.");
    }
    let mut connection = running.connection();
    loop {
        tokio::select! {
            () = signals.cancelled() => {
                running.stop();
                break;
            }
            // Its end is the agent's own end.
            changed = connection.changed() => if changed.is_err() { break },
        }
    }
    running.wait().await
}

/// Tells `start` one line. Nobody listening any more is no mistake.
fn say(line: &str) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

pub(super) fn start(context: &Context) -> Result<(), Problem> {
    let folder = &context.folders.agent;
    if let Ok(ControlAnswer::Status(status)) = ask(folder, &ControlRequest::Status) {
        let why = format!(
            "process {} runs it in {}",
            status.process_id,
            folder.display()
        );
        return Err(
            Problem::new(Code::AgentRunning, "the agent runs already", why)
                .help("`compute-share status` shows what it does."),
        );
    }
    if Registration::load(&AgentFolder::new(folder))?.is_none() {
        let why = format!("there is no registration in {}", folder.display());
        return Err(Problem::new(
            Code::NotRegistered,
            "this machine is not registered",
            why,
        ));
    }
    let log = folder.join("agent.log");
    let process = launch(folder, &log)?;
    let sentence = format!(
        "The agent runs (process {process}). Its log is {}.",
        log.display()
    );
    context
        .output
        .done(&json!({"process_id": process, "log": log}), &sentence)
}

/// Starts the agent in the background and waits until it can be asked.
fn launch(folder: &Path, log: &Path) -> Result<u32, Problem> {
    let cannot =
        |error: std::io::Error| Problem::new(Code::Io, "cannot start the agent", error.to_string());
    let log_file = File::options()
        .create(true)
        .append(true)
        .open(log)
        .map_err(cannot)?;
    let program = std::env::current_exe().map_err(cannot)?;
    let mut child = Command::new(program)
        .args(["agent", "--background", "--data"])
        .arg(folder)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log_file)
        .spawn()
        .map_err(cannot)?;
    let process = child.id();
    let (said, hear) = mpsc::sync_channel(1);
    if let Some(stdout) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            // The other side may have given up waiting.
            let _ = said.send(read.map(|_| line));
        });
    }
    match hear.recv_timeout(START_WAIT) {
        Ok(Ok(line)) if line.trim() == READY => Ok(process),
        Ok(Ok(line)) => Err(serde_json::from_str(&line).unwrap_or_else(|_| {
            Problem::new(Code::Internal, "the agent ended at once", last_lines(log))
        })),
        Ok(Err(error)) => Err(cannot(error)),
        Err(_) => {
            let why = format!(
                "it said nothing for {} s\n{}",
                START_WAIT.as_secs(),
                last_lines(log)
            );
            Err(Problem::new(
                Code::Internal,
                "the agent does not get ready",
                why,
            ))
        }
    }
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(SHOWN_LOG_LINES).collect();
    let shown: Vec<&str> = lines.into_iter().rev().collect();
    format!("the last lines of {}:\n{}", log.display(), shown.join("\n"))
}
