//! `register start agent stop status pause resume`: this machine's agent, as its owner sees it. All but
//! `register` work without the network.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, ExitCode, Stdio},
    sync::mpsc,
    time::Duration,
};

use clap::{Args, Subcommand};
use common::{
    api::{Answer, Request, member::RegisterMachine},
    code::Code,
    id::MachineId,
    machine::Pause,
    name::Name,
    problem::Problem,
    time::Span,
};
use serde_json::json;

use super::{
    Context,
    amounts::counted,
    machine::gpu_counts,
    moments::{ago, local, now},
    output::Facts,
    runtime,
    session::ask as request,
    table::Table,
};
use crate::{
    control::{AgentStatus, ConnectionState, ControlAnswer, ControlRequest, ask},
    daemon::{self, AgentConfig},
    registration::{AgentFolder, Registration},
};

/// Longest wait for a started agent to say that it is ready.
const START_WAIT: Duration = Duration::from_secs(30);
/// Longest wait for an agent to be gone that was told to stop.
const STOP_WAIT: Duration = Duration::from_secs(60);
/// What a started agent says on its stdout once it can be asked.
const READY: &str = "ready";
/// Lines of the log that are shown when an agent does not start.
const SHOWN_LOG_LINES: usize = 5;
/// Threads of the daemon; it mostly waits.
const WORKER_THREADS: usize = 2;

#[derive(Debug, Subcommand)]
pub(super) enum DaemonCommand {
    Register(Register),
    Start(Start),
    Agent(Agent),
    Stop(Stop),
    Status(Status),
    Pause(PauseCommand),
    Resume(Resume),
}

/// Offer this machine to the org; an admin approves it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share register --name bob-workstation")]
pub(super) struct Register {
    /// How the machine will be called
    #[arg(long)]
    name: Name,
}

/// Start this machine's agent in the background
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share start")]
pub(super) struct Start {}

/// Run this machine's agent in the foreground
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share agent")]
pub(super) struct Agent {
    /// Leave the terminal and say on stdout when ready; `start` sets it
    #[arg(long, hide = true)]
    background: bool,
}

/// Stop this machine's agent; jobs go on and are taken up at the next start
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share stop")]
pub(super) struct Stop {
    /// End the jobs that run here first
    #[arg(long)]
    now: bool,
}

/// Show what this machine lends and runs
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share status")]
pub(super) struct Status {}

/// Lend nothing new for a while; what runs goes on
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  compute-share pause 2h\n  compute-share pause")]
pub(super) struct PauseCommand {
    /// For how long (default: until `resume`)
    span: Option<Span>,
}

/// Lend again after a pause
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share resume")]
pub(super) struct Resume {}

impl DaemonCommand {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let folder = &context.folders.agent;
        match self {
            Self::Register(register) => register.run(context).await,
            Self::Start(_) => start(context),
            Self::Agent(_) => unreachable!("the daemon has a runtime of its own; see `agent`"),
            Self::Stop(stop) => stop.run(context),
            Self::Status(_) => match ask(folder, &ControlRequest::Status)? {
                ControlAnswer::Status(status) => show_status(context, &status),
                other => Err(unexpected(&other)),
            },
            Self::Pause(pause) => show_pause(
                context,
                ask(folder, &ControlRequest::Pause { span: pause.span })?,
            ),
            Self::Resume(_) => show_pause(context, ask(folder, &ControlRequest::Resume)?),
        }
    }
}

impl Register {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let folder = AgentFolder::new(&context.folders.agent);
        let session = context.session().await?;
        if let Some(known) = Registration::load(&folder)?.filter(|known| known.name != self.name) {
            let consequence = format!(
                "This machine is registered as {} in {}; it forgets that.",
                known.name, known.org
            );
            context.consent.obtain("registering again", &consequence)?;
        }
        let key = machine_key(&folder)?;
        let register = RegisterMachine {
            org: session.org,
            name: self.name.clone(),
            key,
        };
        let registered = request!(session, Request::RegisterMachine(register), Answer::Registered(registered) => registered)?;
        let credentials = session.client.credentials().clone();
        let registration = Registration {
            machine: registered.machine,
            name: self.name,
            org: session.org_name.clone(),
            address: credentials.address,
            fingerprint: credentials.fingerprint,
        };
        forget_other_identity(&folder, registration.machine)?;
        registration.save(&folder)?;
        session.end().await;
        let (name, org) = (&registration.name, &registration.org);
        let sentence = format!(
            "{name} waits for approval in {org}: an admin runs `compute-share machine approve {name}`.\nStart the \
             agent with `compute-share start`."
        );
        let value = json!({"machine": registration.machine, "name": name, "org_name": org});
        context.output.show(
            &value,
            |_| vec![registration.machine.to_string()],
            |_| sentence,
        )
    }
}

/// Removes the certificate of the machine that this one was before; it would be refused from now on.
fn forget_other_identity(folder: &AgentFolder, machine: MachineId) -> Result<(), Problem> {
    let path = folder.identity();
    match certs::Identity::load(&path) {
        Ok(identity) if identity.peer().subject == certs::Subject::Machine(machine) => Ok(()),
        _ => match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let why = format!("{}: {error}", path.display());
                Err(Problem::new(
                    Code::Io,
                    "the old certificate cannot be removed",
                    why,
                ))
            }
            _ => Ok(()),
        },
    }
}

/// Returns the fingerprint of the machine's key, which is made where there is none.
fn machine_key(folder: &AgentFolder) -> Result<common::id::Fingerprint, Problem> {
    let path = folder.machine_key();
    let cannot = |why: String| {
        let why = format!("{}: {why}", path.display());
        Problem::new(Code::Io, "the machine's key cannot be used", why)
    };
    if path.exists() {
        let key = certs::PrivateKey::load(&path).map_err(|error| cannot(error.to_string()))?;
        return Ok(key.fingerprint());
    }
    link::files::create_private_dir(folder.path()).map_err(|error| cannot(error.to_string()))?;
    let key = certs::PrivateKey::generate().map_err(|error| cannot(error.to_string()))?;
    key.save(&path).map_err(|error| cannot(error.to_string()))?;
    Ok(key.fingerprint())
}

/// Runs the agent until it is told to stop.
pub(super) fn agent(context: &Context, agent: &Agent) -> Result<ExitCode, Problem> {
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
    let running = daemon::run(AgentConfig {
        folder: context.folders.agent.clone(),
    })
    .await?;
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

fn start(context: &Context) -> Result<(), Problem> {
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

impl Stop {
    fn run(self, context: &Context) -> Result<(), Problem> {
        let folder = &context.folders.agent;
        if self.now {
            let ControlAnswer::Status(status) = ask(folder, &ControlRequest::Status)? else {
                return Err(Problem::new(
                    Code::Protocol,
                    "the agent did not understand",
                    "it gave no status",
                ));
            };
            if !status.running.is_empty() {
                let consequence = format!(
                    "{} here and now: ended, not moved.",
                    counted(status.running.len() as u64, "job")
                );
                context.consent.obtain("stopping with jobs", &consequence)?;
            }
        }
        match ask(folder, &ControlRequest::Stop { end_jobs: self.now })? {
            ControlAnswer::Stopping { jobs_left } => {
                wait_for_end(folder)?;
                let sentence = match jobs_left {
                    0 => "The agent has stopped.".to_owned(),
                    jobs => format!(
                        "The agent has stopped. {} on; the next `compute-share start` takes over.",
                        match jobs {
                            1 => "1 job goes".to_owned(),
                            jobs => format!("{jobs} jobs go"),
                        }
                    ),
                };
                context
                    .output
                    .done(&json!({"jobs_left": jobs_left}), &sentence)
            }
            other => Err(unexpected(&other)),
        }
    }
}

/// Waits until the agent has let go of its folder, so that it can be started again at once.
fn wait_for_end(folder: &Path) -> Result<(), Problem> {
    let lock = AgentFolder::new(folder).lock();
    let (ended, hear) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let waited = File::open(lock).and_then(|file| file.lock());
        // The other side may have given up waiting.
        let _ = ended.send(waited);
    });
    match hear.recv_timeout(STOP_WAIT) {
        // Without its lock file there is no agent.
        Ok(_) => Ok(()),
        Err(_) => {
            let why = format!("it still holds its folder after {} s", STOP_WAIT.as_secs());
            Err(Problem::new(
                Code::Busy,
                "the agent takes long to stop",
                why,
            ))
        }
    }
}

fn show_pause(context: &Context, answer: ControlAnswer) -> Result<(), Problem> {
    let ControlAnswer::Paused(pause) = answer else {
        return Err(unexpected(&answer));
    };
    let sentence = format!("{}.", pause_text(pause.as_ref()));
    context.output.done(&json!({"paused": pause}), &sentence)
}

fn pause_text(pause: Option<&Pause>) -> String {
    match pause {
        None => "This machine lends".to_owned(),
        Some(Pause { until: None }) => {
            "This machine lends nothing new until `compute-share resume`".to_owned()
        }
        Some(Pause { until: Some(until) }) => {
            format!("This machine lends nothing new until {}", local(*until))
        }
    }
}

fn show_status(context: &Context, status: &AgentStatus) -> Result<(), Problem> {
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

fn unexpected(answer: &ControlAnswer) -> Problem {
    let kind = match answer {
        ControlAnswer::Status(_) => "a status",
        ControlAnswer::Paused(_) => "a pause",
        ControlAnswer::Stopping { .. } => "a stop",
        ControlAnswer::Refused(_) => "a refusal",
    };
    Problem::new(
        Code::Protocol,
        "the agent did not understand",
        format!("it answered with {kind}"),
    )
}
