//! `member list|set-role|remove`: who belongs to the org.

mod limits;

use clap::{Args, Subcommand};
use common::{
    api::{
        Answer, Request,
        org::{OrgAnswer, OrgRequest},
    },
    name::Name,
    org::MemberView,
    problem::Problem,
    status::Role,
};
use serde_json::json;

use super::{
    Context, departure,
    moments::{ago, now},
    pages,
    session::ask,
    table::Table,
    weight::OfMember,
};

/// Look at the org's members and change their roles
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  compute-share member list")]
pub(super) enum Member {
    List(List),
    SetRole(SetRole),
    Remove(Remove),
    Limits(limits::Show),
    SetLimit(limits::Set),
    SetWeight(OfMember),
}

/// List members
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share member list")]
pub(super) struct List {}

/// Make a member an admin, or an admin a member
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share member set-role bob admin")]
pub(super) struct SetRole {
    handle: Name,
    #[arg(value_name = "member|admin")]
    role: Role,
}

/// Remove a member from the org: their jobs end, their machines leave the pool; what they finished stays
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share member remove bob --dry-run\n  compute-share member remove bob"
)]
pub(super) struct Remove {
    handle: Name,
    /// Only show what would go and what would stay
    #[arg(long)]
    dry_run: bool,
}

impl Member {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        match self {
            Self::List(_) => list(context).await,
            Self::SetRole(set) => set.run(context).await,
            Self::Remove(remove) => remove.run(context).await,
            Self::Limits(show) => show.run(context).await,
            Self::SetLimit(set) => set.run(context).await,
            Self::SetWeight(set) => set.run(context).await,
        }
    }
}

async fn list(context: &Context) -> Result<(), Problem> {
    let session = context.session().await?;
    let org = session.org;
    let members = pages::all(async |after| {
        let request = Request::ListMembers { org, after };
        ask!(session, request, Answer::Members(page) => page)
    });
    let members = members.await?;
    session.end().await;
    context.output.show(
        &members,
        |members| {
            members
                .iter()
                .map(|member| member.handle.to_string())
                .collect()
        },
        |members| members_table(members),
    )
}

fn members_table(members: &[MemberView]) -> String {
    let mut table = Table::new(&[
        "MEMBER",
        "ROLE",
        ">MACHINES",
        ">RUNNING",
        ">QUEUED",
        "JOINED",
    ]);
    for member in members {
        table.row([
            member.handle.to_string(),
            member.role.to_string(),
            member.machines.to_string(),
            member.running.to_string(),
            member.queued.to_string(),
            ago(member.joined_at, now()),
        ]);
    }
    table.to_text("No members.")
}

impl SetRole {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let Self { handle, role } = self;
        let session = context.session().await?;
        let request = Request::SetRole {
            org: session.org,
            handle: handle.clone(),
            role,
        };
        ask!(session, request, Answer::Done => ())?;
        session.end().await;
        let sentence = format!("{handle} is now {role}.");
        context
            .output
            .done(&json!({"handle": handle, "role": role}), &sentence)
    }
}

impl Remove {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let Self { handle, dry_run } = self;
        let session = context.session().await?;
        let org = session.org;
        let question = OrgRequest::PreviewRemoval {
            org,
            handle: handle.clone(),
        };
        let preview = ask!(session, Request::Org(question), Answer::AboutOrg(OrgAnswer::Departure(preview)) => preview)?;
        let name = session.org_name.clone();
        if dry_run {
            session.end().await;
            return context.output.show(
                &preview,
                |_| Vec::new(),
                |preview| {
                    let text = departure::text(preview);
                    format!("If {handle} is removed from {name} now:\n{text}")
                },
            );
        }
        let consequence = format!(
            "{handle} is removed from {name}:\n{}",
            departure::text(&preview)
        );
        context.consent.obtain("removing a member", &consequence)?;
        let request = Request::RemoveMember {
            org,
            handle: handle.clone(),
        };
        ask!(session, request, Answer::Done => ())?;
        session.end().await;
        context.output.done(
            &json!({"removed": handle}),
            &format!("{handle} is removed."),
        )
    }
}
