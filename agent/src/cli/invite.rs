//! `invite create|list|show|revoke|accept|decline`: letting people in, and being let in.

mod held;
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
    pages,
    session::ask,
    table::Table,
};

/// Invite people to the org
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  compute-share invite create")]
pub(super) enum Invite {
    Create(Create),
    List(List),
    Show(held::Show),
    Revoke(Revoke),
    Accept(Accept),
    Decline(Decline),
}

/// Make invitations; each is shown this once
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share invite create\n  compute-share invite create --count 30 --ttl 7d --to-file class.txt\n  compute-share invite create --for bob\n  compute-share invite create --for bob@lab.example"
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
    /// Whom it is for: a user of this coordinator, who accepts or declines it; or an e-mail address, to which you
    /// send the link that is printed
    #[arg(long = "for", value_name = "HANDLE|ADDRESS", conflicts_with_all = ["uses", "count"])]
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

/// Turn down an invitation that waits for you, or that was sent to your e-mail address
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share invite decline shop\n  compute-share invite decline 'compute-share://lab.example:7443/join/…'"
)]
pub(super) struct Decline {
    /// The org, or the id from `invite list --mine`; or the link or code of one for an e-mail address
    #[arg(value_name = "ORG|ID|LINK|CODE")]
    which: String,
    #[command(flatten)]
    place: held::Place,
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
            Self::Show(show) => show.run(context).await,
            Self::Revoke(revoke) => revoke.run(context).await,
            Self::Accept(accept) => mine::accept(context, &accept.which).await,
            Self::Decline(decline) => decline.run(context).await,
        }
    }
}

impl Create {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        if let Some(path) = &self.to_file {
            if let Some(Invitee::User(handle)) = &self.invitee {
                let why = format!("{handle} has an account and needs no link");
                let problem = Problem::new(Code::BadRequest, "there is nothing to write", why);
                return Err(problem.help("Leave --to-file out."));
            }
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
            let links = counted(handed.len() as u64, "link");
            let mut sentence = format!("Wrote {links} to {}.", path.display());
            if self.invitee.is_some() {
                sentence += &format!("\n{NOT_MAILED}");
            }
            return context
                .output
                .done(&json!({"file": path, "count": handed.len()}), &sentence);
        }
        context
            .output
            .show(handed.as_slice(), ids, |handed| match &self.invitee {
                Some(Invitee::User(handle)) => waits_for(handle, handed),
                Some(Invitee::Email(address)) => {
                    let whom = format!("{address}, who may join {org}");
                    format!("{}\n{NOT_MAILED}", handed_out(&whom, handed))
                }
                None => handed_out(&format!("whoever joins {org}"), handed),
            })
    }
}

/// What the maker of an invitation for an address has to know.
const NOT_MAILED: &str = "No mail was sent: send it to that address yourself. Whoever has it may join, once, or turn it down.";

fn handed_out(whom: &str, handed: &[Handed]) -> String {
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
        "For {whom}, a code and a link:\n\n{}",
        lines.collect::<Vec<_>>().join("\n")
    )
}

/// What is said of an invitation that waits for a user.
fn waits_for(handle: &Name, handed: &[Handed]) -> String {
    let expires = handed.first().map(|one| ago(one.expires_at, now()));
    format!(
        "{handle} is invited (expires {}). `compute-share invite list --mine` shows it to them.",
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
    let org = session.org;
    let invitations = pages::all(async |after| {
        let request = Request::ListInvitations { org, after };
        ask!(session, request, Answer::Invitations(page) => page)
    });
    let invitations = invitations.await?;
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

impl Decline {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        if self.place.tells(&self.which) {
            return held::decline(context, &self.which, self.place).await;
        }
        match mine::decline(context, &self.which).await {
            // What looks like a code may be the name of an org, and is asked about as one first.
            Err(problem)
                if held::is_code(&self.which)
                    && [Code::NotFound, Code::NotSignedIn].contains(&problem.code) =>
            {
                held::decline(context, &self.which, self.place).await
            }
            declined => declined,
        }
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
