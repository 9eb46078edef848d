//! `register start agent stop status pause resume`: this machine's agent, as its owner sees it. All but
//! `register` work without the network.

mod process;
mod status;

use std::{fs::File, path::Path, sync::mpsc, time::Duration};

use clap::{Args, Subcommand};
use common::{
    api::{Answer, Request, member::RegisterMachine},
    code::Code,
    id::MachineId,
    name::Name,
    problem::Problem,
    time::Span,
};
use serde_json::json;

pub(super) use process::agent;
use status::{gpu_pauses, pause_text, show_status};

use super::{Context, amounts::counted, session::ask as request, sign_in::Visit};
use crate::{
    control::{ControlAnswer, ControlRequest, StopHow, ask},
    registration::{AgentFolder, Registration},
};

/// Longest wait for an agent to be gone that was told to stop.
const STOP_WAIT: Duration = Duration::from_secs(60);

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
#[command(
    after_help = "Examples:\n  compute-share register --name bob-workstation\n  compute-share register --name rack-7 --token \"$COMPUTE_SHARE_TOKEN_LINK\""
)]
pub(super) struct Register {
    /// How the machine will be called
    #[arg(long)]
    name: Name,
    /// Register with the link of an API token of scope admin, without signing in
    #[arg(long, value_name = "LINK")]
    token: Option<String>,
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
#[command(
    after_help = "Examples:\n  compute-share stop\n  compute-share stop --drain\n  compute-share stop --now"
)]
pub(super) struct Stop {
    /// Take nothing new, and stop once the jobs that run here have ended
    #[arg(long)]
    drain: bool,
    /// End the jobs that run here first; they are tried again elsewhere
    #[arg(long, conflicts_with = "drain")]
    now: bool,
}

/// Show what this machine lends and runs
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share status")]
pub(super) struct Status {}

/// Lend nothing new for a while; what runs goes on
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share pause 2h\n  compute-share pause\n  compute-share pause 2h --gpu 1"
)]
pub(super) struct PauseCommand {
    /// For how long (default: until `resume`)
    span: Option<Span>,
    /// Keep only this GPU back, by its index or identifier; may be given again
    #[arg(long = "gpu", value_name = "N", value_delimiter = ',')]
    gpus: Vec<String>,
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
            Self::Start(_) => process::start(context),
            Self::Agent(_) => unreachable!("the daemon has a runtime of its own; see `agent`"),
            Self::Stop(stop) => stop.run(context),
            Self::Status(_) => match ask(folder, &ControlRequest::Status)? {
                ControlAnswer::Status(status) => show_status(context, &status),
                other => Err(unexpected(&other)),
            },
            Self::Pause(pause) => show_pause(
                context,
                ask(
                    folder,
                    &ControlRequest::Pause {
                        span: pause.span,
                        gpus: pause.gpus,
                    },
                )?,
            ),
            Self::Resume(_) => show_pause(context, ask(folder, &ControlRequest::Resume)?),
        }
    }
}

impl Register {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let folder = AgentFolder::new(&context.folders.agent);
        let visit = match &self.token {
            Some(link) => Some(Visit::with_token(link).await?),
            None => None,
        };
        let session = match &visit {
            Some(visit) => context.session_of(visit.store()).await?,
            None => context.session().await?,
        };
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
        if let Some(visit) = visit {
            visit.leave().await;
        }
        let (name, org) = (&registration.name, &registration.org);
        let approved = registered.approved;
        let sentence = if approved {
            format!("{name} is approved in {org}.\nStart the agent with `compute-share start`.")
        } else {
            format!(
                "{name} waits for approval in {org}: an admin runs `compute-share machine approve {name}`.\nStart \
                 the agent with `compute-share start`."
            )
        };
        let value = json!({
            "machine": registration.machine, "name": name, "org_name": org, "approved": approved,
        });
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

impl Stop {
    fn run(self, context: &Context) -> Result<(), Problem> {
        let folder = &context.folders.agent;
        let how = match (self.now, self.drain) {
            (true, _) => StopHow::Now,
            (false, true) => StopHow::Drain,
            (false, false) => StopHow::Leave,
        };
        if how == StopHow::Now {
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
        match ask(folder, &ControlRequest::Stop { how })? {
            ControlAnswer::Stopping { jobs_left } if how == StopHow::Drain && jobs_left > 0 => {
                let sentence = format!(
                    "The agent takes nothing new, and stops once {} ended.",
                    match jobs_left {
                        1 => "the job that runs here has".to_owned(),
                        jobs => format!("the {jobs} jobs that run here have"),
                    }
                );
                context
                    .output
                    .done(&json!({"jobs_left": jobs_left}), &sentence)
            }
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
pub(super) fn wait_for_end(folder: &Path) -> Result<(), Problem> {
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
    match answer {
        ControlAnswer::Paused(pause) => {
            let sentence = format!("{}.", pause_text(pause.as_ref()));
            context.output.done(&json!({"paused": pause}), &sentence)
        }
        ControlAnswer::GpusPaused(gpus) => {
            let sentence = match gpus.as_slice() {
                [] => "Every GPU is lent.".to_owned(),
                gpus => format!("Not lent:\n{}", gpu_pauses(gpus)),
            };
            context
                .output
                .done(&json!({"gpus_paused": gpus}), &sentence)
        }
        other => Err(unexpected(&other)),
    }
}

pub(super) fn unexpected(answer: &ControlAnswer) -> Problem {
    let kind = match answer {
        ControlAnswer::Status(_) => "a status",
        ControlAnswer::Paused(_) => "a pause",
        ControlAnswer::Images(_) => "a list of images",
        ControlAnswer::Cache(_) => "what lies in the cache",
        ControlAnswer::GpusPaused(_) => "a pause of GPUs",
        ControlAnswer::Stopping { .. } => "a stop",
        ControlAnswer::Refused(_) => "a refusal",
    };
    Problem::new(
        Code::Protocol,
        "the agent did not understand",
        format!("it answered with {kind}"),
    )
}
