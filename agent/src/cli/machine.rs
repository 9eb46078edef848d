//! `machine list|show|why|label|approve|reject|readmit|remove`: the pool.

mod facts;
mod label;
mod why;

pub(super) use facts::isolation;

use clap::{Args, Subcommand};
use common::{
    api::{Answer, Request, machine::MachineRequest},
    machine::MachineView,
    name::Name,
    problem::Problem,
    resources::Gpu,
};
use serde_json::json;

use super::{
    Context,
    moments::{ago, now},
    pages,
    session::{Session, ask},
    table::Table,
};

/// Look at the org's machines, approve and remove them
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  compute-share machine approve bob-workstation")]
pub(super) enum Machine {
    List(List),
    Show(Show),
    Approve(Approve),
    Reject(Reject),
    Why(why::Why),
    Label(label::Label),
    Readmit(Readmit),
    Remove(Remove),
}

/// List machines
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share machine list")]
pub(super) struct List {}

/// Show everything about a machine
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share machine show bob-workstation")]
pub(super) struct Show {
    name: Name,
}

/// Let a machine take jobs
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share machine approve bob-workstation")]
pub(super) struct Approve {
    name: Name,
}

/// Refuse a machine that waits for approval
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share machine reject bob-laptop --reason 'too small'")]
pub(super) struct Reject {
    name: Name,
    /// Shown to the machine's owner
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "TEXT"
    )]
    reason: String,
}

/// Let jobs onto a machine at once that was set aside, since job after job failed there
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share machine readmit bob-workstation")]
pub(super) struct Readmit {
    name: Name,
}

/// Remove a machine from the org
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share machine remove bob-laptop")]
pub(super) struct Remove {
    name: Name,
}

impl Machine {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        match self {
            Self::List(_) => list(context).await,
            Self::Show(show) => show.run(context).await,
            Self::Why(why) => why.run(context).await,
            Self::Label(label) => label.run(context).await,
            Self::Approve(Approve { name }) => {
                let sentence = format!("{name} is approved.");
                change(context, &name, &sentence, |org| Request::ApproveMachine {
                    org,
                    name: name.clone(),
                })
                .await
            }
            Self::Reject(Reject { name, reason }) => {
                let sentence = format!("{name} is rejected.");
                let request = |org| Request::RejectMachine {
                    org,
                    name: name.clone(),
                    reason,
                };
                change(context, &name, &sentence, request).await
            }
            Self::Readmit(Readmit { name }) => {
                let sentence = format!("{name} takes jobs again.");
                let readmit = name.clone();
                change(context, &name, &sentence, |org| {
                    Request::Machine(MachineRequest::Readmit { org, name: readmit })
                })
                .await
            }
            Self::Remove(Remove { name }) => {
                let consequence =
                    format!("{name} leaves the pool, jobs on it end, its certificate is revoked.");
                context.consent.obtain("removing a machine", &consequence)?;
                let sentence = format!("{name} is removed.");
                change(context, &name, &sentence, |org| Request::RemoveMachine {
                    org,
                    name: name.clone(),
                })
                .await
            }
        }
    }
}

async fn change(
    context: &Context,
    name: &Name,
    sentence: &str,
    request: impl FnOnce(common::id::OrgId) -> Request,
) -> Result<(), Problem> {
    let session = context.session().await?;
    let request = request(session.org);
    ask!(session, request, Answer::Done => ())?;
    session.end().await;
    context.output.done(&json!({"machine": name}), sentence)
}

async fn list(context: &Context) -> Result<(), Problem> {
    let session = context.session().await?;
    let machines = every(&session).await?;
    session.end().await;
    context.output.show(
        &machines,
        |machines| {
            machines
                .iter()
                .map(|machine| machine.name.to_string())
                .collect()
        },
        |machines| machines_table(machines),
    )
}

/// Returns every machine of the org.
pub(super) async fn every(session: &Session) -> Result<Vec<MachineView>, Problem> {
    let org = session.org;
    let machines = pages::all(async |after| {
        let request = Request::ListMachines { org, after };
        ask!(session, request, Answer::Machines(page) => page)
    });
    machines.await
}

fn machines_table(machines: &[MachineView]) -> String {
    let mut table = Table::new(&[
        "MACHINE",
        "OWNER",
        "STATUS",
        ">JOBS",
        ">CPU",
        "MEMORY",
        "GPUS",
        "ISOLATION",
        "SEEN",
    ]);
    for machine in machines {
        let offer = machine.report.as_ref().map(|report| &report.offer);
        let held = &machine.allocated;
        table.row([
            machine.name.to_string(),
            machine.owner.to_string(),
            machine.status.to_string(),
            machine.running.to_string(),
            offer
                .map(|offer| format!("{}/{}", held.cpu, offer.cpu))
                .unwrap_or_default(),
            offer
                .map(|offer| format!("{} / {}", held.memory, offer.memory))
                .unwrap_or_default(),
            offer
                .map(|offer| gpu_counts(&offer.gpus))
                .unwrap_or_default(),
            machine
                .report
                .as_ref()
                .map(|report| report.isolation.level.to_string())
                .unwrap_or_default(),
            machine
                .last_heartbeat
                .map(|at| ago(at, now()))
                .unwrap_or_default(),
        ]);
    }
    table.to_text("No machines yet. `compute-share register --name NAME` offers one.")
}

/// Returns `2x rtx-4090, h200`.
pub(super) fn gpu_counts(gpus: &[Gpu]) -> String {
    let mut models: Vec<(&str, usize)> = Vec::new();
    for gpu in gpus {
        match models.iter_mut().find(|(model, _)| *model == gpu.model) {
            Some((_, count)) => *count += 1,
            None => models.push((&gpu.model, 1)),
        }
    }
    let texts = models.iter().map(|(model, count)| match count {
        1 => (*model).to_owned(),
        _ => format!("{count}x {model}"),
    });
    texts.collect::<Vec<_>>().join(", ")
}

impl Show {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        let request = Request::ShowMachine {
            org: session.org,
            name: self.name,
        };
        let machine = ask!(session, request, Answer::Machine(machine) => machine)?;
        session.end().await;
        context.output.show(
            &*machine,
            |machine| vec![machine.id.to_string()],
            facts::text,
        )
    }
}
