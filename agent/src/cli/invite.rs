//! `invite create|list|revoke`: letting people in.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use common::{
    api::{
        Answer, Request,
        member::{CreateInvitations, Invited},
    },
    code::Code,
    id::InvitationId,
    join_link::{JoinLink, LinkPurpose},
    org::{INVITATION_TTL, InvitationStatus, InvitationView, MAX_INVITATIONS_AT_ONCE},
    problem::Problem,
    status::Role,
    time::Span,
};
use serde::Serialize;
use serde_json::json;

use super::{
    Context,
    amounts::counted,
    moments::{ago, now},
    session::ask,
    table::Table,
};

/// Invite people to the org
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  compute-share invite create")]
pub(super) enum Invite {
    Create(Create),
    List(List),
    Revoke(Revoke),
}

/// Make invitations; each is shown this once
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share invite create\n  compute-share invite create --count 30 --ttl 7d --to-file class.txt"
)]
pub(super) struct Create {
    /// What the new members may do
    #[arg(long, default_value = "member", value_name = "member|admin")]
    role: Role,
    /// How long it is good for
    #[arg(long, default_value_t = INVITATION_TTL, value_name = "SPAN")]
    ttl: Span,
    /// How many people each lets in
    #[arg(long, default_value_t = 1, value_name = "N")]
    uses: u32,
    /// How many to make
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_INVITATIONS_AT_ONCE)))]
    count: u32,
    /// Write the links to this file instead, one a line
    #[arg(long, value_name = "FILE")]
    to_file: Option<PathBuf>,
}

/// List invitations
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share invite list")]
pub(super) struct List {}

/// Make an invitation useless
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share invite revoke 0193…")]
pub(super) struct Revoke {
    /// Id from `invite list`
    id: InvitationId,
}

/// An invitation as it is handed out.
#[derive(Debug, Serialize)]
struct Handed {
    id: InvitationId,
    code: String,
    link: String,
    expires_at: common::time::Timestamp,
}

impl Invite {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        match self {
            Self::Create(create) => create.run(context).await,
            Self::List(_) => list(context).await,
            Self::Revoke(revoke) => revoke.run(context).await,
        }
    }
}

impl Create {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        let request = Request::CreateInvitations(CreateInvitations {
            org: session.org,
            role: self.role,
            ttl: self.ttl,
            uses: self.uses,
            count: self.count,
        });
        let invited = ask!(session, request, Answer::Invited(invited) => invited)?;
        let address = session.client.credentials().address.clone();
        let org = session.org_name.clone();
        session.end().await;
        let handed: Vec<Handed> = invited
            .into_iter()
            .map(|one| hand_out(one, &address))
            .collect();
        if let Some(path) = &self.to_file {
            write_links(path, &handed)?;
            let sentence = format!(
                "Wrote {} to {}.",
                counted(handed.len() as u64, "link"),
                path.display()
            );
            return context
                .output
                .done(&json!({"file": path, "count": handed.len()}), &sentence);
        }
        context.output.show(handed.as_slice(), ids, |handed| {
            let lines = handed.iter().map(|one| {
                let expires = ago(one.expires_at, now());
                format!("{}\n{}\n(expires {expires})\n", one.code, one.link)
            });
            format!(
                "For whoever joins {org}, a code and a link:\n\n{}",
                lines.collect::<Vec<_>>().join("\n")
            )
        })
    }
}

fn ids(handed: &[Handed]) -> Vec<String> {
    handed.iter().map(|one| one.id.to_string()).collect()
}

fn hand_out(invited: Invited, address: &str) -> Handed {
    let link = JoinLink {
        address: address.to_owned(),
        purpose: LinkPurpose::Join,
        fingerprint: invited.fingerprint,
        secret: invited.secret,
    };
    Handed {
        id: invited.id,
        code: invited.code,
        link: link.to_string(),
        expires_at: invited.expires_at,
    }
}

/// Writes the links where only their maker can read them: each lets somebody in.
fn write_links(path: &Path, handed: &[Handed]) -> Result<(), Problem> {
    let mut text = String::new();
    for one in handed {
        text += &one.link;
        text.push('\n');
    }
    link::files::write_atomic(path, text.as_bytes(), 0o600).map_err(|error| {
        let why = format!(
            "{}: {error}; they are listed by `invite list` and can be revoked",
            path.display()
        );
        Problem::new(
            Code::Io,
            "the invitations were made but cannot be written",
            why,
        )
    })
}

async fn list(context: &Context) -> Result<(), Problem> {
    let session = context.session().await?;
    let request = Request::ListInvitations { org: session.org };
    let invitations = ask!(session, request, Answer::Invitations(list) => list)?;
    session.end().await;
    context.output.show(
        &invitations,
        |list| list.iter().map(|one| one.id.to_string()).collect(),
        |list| invitations_table(list),
    )
}

fn invitations_table(invitations: &[InvitationView]) -> String {
    let mut table = Table::new(&[
        "ID",
        "ROLE",
        "STATUS",
        ">USES LEFT",
        "BY",
        "MADE",
        "EXPIRES",
    ]);
    for one in invitations {
        table.row([
            one.id.to_string(),
            one.role.to_string(),
            status(one.status).to_owned(),
            one.uses_left.to_string(),
            one.created_by.to_string(),
            ago(one.created_at, now()),
            ago(one.expires_at, now()),
        ]);
    }
    table.to_text("No invitations. `compute-share invite create` makes one.")
}

const fn status(status: InvitationStatus) -> &'static str {
    match status {
        InvitationStatus::Open => "open",
        InvitationStatus::Used => "used",
        InvitationStatus::Expired => "expired",
        InvitationStatus::Revoked => "revoked",
    }
}

impl Revoke {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        let request = Request::RevokeInvitation {
            org: session.org,
            invitation: self.id,
        };
        ask!(session, request, Answer::Done => ())?;
        session.end().await;
        let sentence = "Revoked. Whoever has it can no longer use it.";
        context.output.done(&json!({"revoked": self.id}), sentence)
    }
}
