//! `invite create|list|revoke|accept|decline`: letting people in, and being let in.

mod mine;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use common::{
    api::{
        Answer, Request,
        member::{CreateInvitations, Invited},
    },
    code::Code,
    id::InvitationId,
    invitee::Invitee,
    join_link::{JoinLink, LinkPurpose},
    name::Name,
    org::{INVITATION_TTL, InvitationView, MAX_INVITATIONS_AT_ONCE},
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
    Accept(Accept),
    Decline(Decline),
}

/// Make invitations; each is shown this once
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share invite create\n  compute-share invite create --count 30 --ttl 7d --to-file class.txt\n  compute-share invite create --for bob"
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
    /// Whom it is for: a user of this coordinator, who accepts or declines it
    #[arg(long = "for", value_name = "HANDLE", conflicts_with_all = ["uses", "count", "to_file"])]
    invitee: Option<Invitee>,
    /// Write the links to this new file instead, one a line
    #[arg(long, value_name = "FILE")]
    to_file: Option<PathBuf>,
}

/// List invitations
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share invite list\n  compute-share invite list --mine"
)]
pub(super) struct List {
    /// Those that wait for you
    #[arg(long)]
    mine: bool,
}

/// Take an invitation that waits for you
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share invite accept shop")]
pub(super) struct Accept {
    /// The org, or the id from `invite list --mine`
    #[arg(value_name = "ORG|ID")]
    which: String,
}

/// Turn down an invitation that waits for you
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share invite decline shop")]
pub(super) struct Decline {
    /// The org, or the id from `invite list --mine`
    #[arg(value_name = "ORG|ID")]
    which: String,
}

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
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    expires_at: common::time::Timestamp,
}

impl Invite {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        match self {
            Self::Create(create) => create.run(context).await,
            Self::List(List { mine: true }) => mine::list(context).await,
            Self::List(_) => list(context).await,
            Self::Revoke(revoke) => revoke.run(context).await,
            Self::Accept(accept) => mine::accept(context, &accept.which).await,
            Self::Decline(decline) => mine::decline(context, &decline.which).await,
        }
    }
}

impl Create {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        if let Some(path) = &self.to_file {
            check_free(path)?;
        }
        let session = context.session().await?;
        let request = Request::CreateInvitations(CreateInvitations {
            org: session.org,
            role: self.role,
            ttl: self.ttl,
            uses: self.uses,
            count: self.count,
            invitee: self.invitee.clone(),
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
        context
            .output
            .show(handed.as_slice(), ids, |handed| match &self.invitee {
                Some(guest) => handed_to(guest, handed),
                None => handed_out(org.as_str(), handed),
            })
    }
}

fn handed_out(org: &str, handed: &[Handed]) -> String {
    let lines = handed.iter().map(|one| {
        let secrets: Vec<&str> = [&one.code, &one.link]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        let expires = ago(one.expires_at, now());
        format!("{}\n(expires {expires})\n", secrets.join("\n"))
    });
    format!(
        "For whoever joins {org}, a code and a link:\n\n{}",
        lines.collect::<Vec<_>>().join("\n")
    )
}

/// What is said of invitations that wait for somebody.
fn handed_to(guest: &Invitee, handed: &[Handed]) -> String {
    let expires = handed.first().map(|one| ago(one.expires_at, now()));
    format!(
        "{guest} is invited (expires {}). `compute-share invite list --mine` shows it to them.",
        expires.unwrap_or_default()
    )
}

fn ids(handed: &[Handed]) -> Vec<String> {
    handed.iter().map(|one| one.id.to_string()).collect()
}

fn hand_out(invited: Invited, address: &str) -> Handed {
    let (code, secret) = invited
        .secrets
        .map(|secrets| (secrets.code, secrets.secret))
        .unzip();
    let link = secret.map(|secret| JoinLink {
        address: address.to_owned(),
        purpose: LinkPurpose::Join,
        fingerprint: invited.fingerprint,
        secret,
    });
    Handed {
        id: invited.id,
        code,
        link: link.map(|link| link.to_string()),
        expires_at: invited.expires_at,
    }
}

/// Checks before anything is made that the file is a new one: what is there may be the only copy of other links.
fn check_free(path: &Path) -> Result<(), Problem> {
    let what = "no invitation was made";
    if path.symlink_metadata().is_ok() {
        let why = format!("{} is there already", path.display());
        return Err(Problem::new(Code::Io, what, why).help("Choose another --to-file."));
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if folder.is_some_and(|folder| !folder.is_dir()) {
        let why = format!("{} would lie in a folder that is not there", path.display());
        return Err(Problem::new(Code::Io, what, why));
    }
    Ok(())
}

/// Writes the links where only their maker can read them: each lets somebody in.
fn write_links(path: &Path, handed: &[Handed]) -> Result<(), Problem> {
    let mut text = String::new();
    for link in handed.iter().filter_map(|one| one.link.as_ref()) {
        text += link;
        text.push('\n');
    }
    link::files::create_atomic(path, text.as_bytes(), link::files::PRIVATE_FILE_MODE).map_err(
        |error| {
            let why = format!(
                "{}: {error}; they are listed by `invite list` and can be revoked",
                path.display()
            );
            Problem::new(
                Code::Io,
                "the invitations were made but cannot be written",
                why,
            )
        },
    )
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
        "FOR",
        ">USES LEFT",
        "CAME IN",
        "BY",
        "MADE",
        "EXPIRES",
    ]);
    for one in invitations {
        table.row([
            one.id.to_string(),
            one.role.to_string(),
            one.status.as_str().to_owned(),
            one.invitee
                .as_ref()
                .map_or_else(|| "anybody".to_owned(), Invitee::to_string),
            one.uses_left.to_string(),
            came_in(&one.guests),
            one.created_by.to_string(),
            ago(one.created_at, now()),
            ago(one.expires_at, now()),
        ]);
    }
    table.to_text("No invitations. `compute-share invite create` makes one.")
}

/// Returns the first few who came in, and how many more there are.
fn came_in(guests: &[Name]) -> String {
    const NAMED: usize = 3;
    let mut names: Vec<String> = guests.iter().take(NAMED).map(Name::to_string).collect();
    if guests.len() > NAMED {
        names.push(format!("+{}", guests.len() - NAMED));
    }
    names.join(", ")
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
