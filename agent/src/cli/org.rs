//! `org show|list|use|create|settings|set|shares|storage|logo|transfer|leave|rejoin|delete|limits|audit`: the group, how it runs itself, and its bounds.

mod approvals;
mod create;
mod delete;
mod leave;
mod limits;
mod logo;
mod rejoin;
mod settings;
pub(super) mod shares;
mod storage;
mod transfer;

use clap::{Args, Subcommand};
use common::{
    api::{Answer, Request},
    name::Name,
    org::OrgOverview,
    problem::Problem,
};
use serde_json::json;

use super::{
    Context,
    audit::Audit,
    moments::local,
    output::Facts,
    session::{ask, find_org, who_am_i},
    table::Table,
};
use crate::client::Client;

/// Look at orgs, their settings and their limits
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  compute-share org limits apply limits.yaml")]
pub(super) enum Org {
    Show(Show),
    List(List),
    Use(Use),
    Create(create::Create),
    Settings(settings::Settings),
    Set(settings::Set),
    Shares(shares::Show),
    Storage(storage::Storage),
    Logo(logo::Logo),
    Transfer(transfer::Transfer),
    Leave(leave::Leave),
    Rejoin(rejoin::Rejoin),
    Delete(delete::Delete),
    Audit(Audit),
    Limits(limits::Limits),
    Approvals(approvals::Approvals),
}

/// Show an org at a glance
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share org show")]
pub(super) struct Show {}

/// List the orgs that you belong to
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share org list")]
pub(super) struct List {}

/// Make an org the active one
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share org use lab")]
pub(super) struct Use {
    name: Name,
}

impl Org {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        match self {
            Self::Show(_) => show(context).await,
            Self::List(_) => list(context).await,
            Self::Use(using) => using.run(context).await,
            Self::Create(create) => create.run(context).await,
            Self::Settings(settings) => settings.run(context).await,
            Self::Set(set) => set.run(context).await,
            Self::Shares(shares) => shares.run(context).await,
            Self::Storage(storage) => storage.run(context).await,
            Self::Logo(logo) => logo.run(context).await,
            Self::Audit(audit) => audit.run(context).await,
            Self::Transfer(transfer) => transfer.run(context).await,
            Self::Leave(leave) => leave.run(context).await,
            Self::Rejoin(rejoin) => rejoin.run(context).await,
            Self::Delete(delete) => delete.run(context).await,
            Self::Limits(limits) => limits.run(context).await,
            Self::Approvals(approvals) => approvals.run(context).await,
        }
    }
}

async fn overview(context: &Context) -> Result<OrgOverview, Problem> {
    let session = context.session().await?;
    let request = Request::ShowOrg { org: session.org };
    let overview = ask!(session, request, Answer::Org(overview) => *overview)?;
    session.end().await;
    Ok(overview)
}

async fn show(context: &Context) -> Result<(), Problem> {
    let overview = overview(context).await?;
    context
        .output
        .show(&overview, |org| vec![org.id.to_string()], org_facts)
}

fn org_facts(org: &OrgOverview) -> String {
    let machines = org
        .machines
        .iter()
        .map(|machines| format!("{} {}", machines.count, machines.status));
    let gpus = org
        .gpus
        .iter()
        .map(|gpu| format!("{}: {} free of {}", gpu.model, gpu.free, gpu.total));
    let (free, total) = (&org.free, &org.total);
    Facts::default()
        .with("org", &org.name)
        .with("called", &org.settings.display_name)
        .with("about", &org.settings.description)
        .with("contact", &org.settings.contact)
        .with_some("logo", org.logo.as_ref().map(logo::short))
        .with("storage", &org.settings.storage)
        .with("id", org.id)
        .with("owner", &org.owner)
        .with("since", local(org.created_at))
        .with("members", org.members)
        .with("machines", machines.collect::<Vec<_>>().join(", "))
        .with("cpu", format!("{} free of {}", free.cpu, total.cpu))
        .with(
            "memory",
            format!("{} free of {}", free.memory, total.memory),
        )
        .with("disk", format!("{} free of {}", free.disk, total.disk))
        .with("gpus", gpus.collect::<Vec<_>>().join("\n"))
        .with(
            "tasks",
            format!("{} running, {} queued", org.running_tasks, org.queued_tasks),
        )
        .with("computed", org.compute_time)
        .to_text()
}

async fn list(context: &Context) -> Result<(), Problem> {
    let client = Client::connect(&context.store()).await?;
    let who = who_am_i(&client).await?;
    let active = client.credentials().org;
    client.close().await;
    context.output.show(
        &who.orgs,
        |orgs| {
            orgs.iter()
                .map(|membership| membership.org.to_string())
                .collect()
        },
        |orgs| {
            let mut table = Table::new(&["ORG", "ROLE", "ACTIVE"]);
            for membership in orgs {
                let active = if membership.org == active { "yes" } else { "" };
                table.row([
                    membership.name.to_string(),
                    membership.role.to_string(),
                    active.to_owned(),
                ]);
            }
            table.to_text("You belong to no org.")
        },
    )
}

impl Use {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let store = context.store();
        let client = Client::connect(&store).await?;
        let org = find_org(&client, &self.name).await?;
        let mut credentials = client.credentials().clone();
        client.close().await;
        credentials.org = org;
        credentials.org_name = self.name;
        store.save(&credentials)?;
        let name = &credentials.org_name;
        context.output.done(
            &json!({"org": org, "org_name": name}),
            &format!("{name} is now the active org."),
        )
    }
}
