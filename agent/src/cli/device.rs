//! `device list|link|revoke`: the computers that a user is signed in on.

use clap::{Args, Subcommand};
use common::{
    api::{
        Answer, Request,
        account::{AccountAnswer, AccountRequest, CreateLoginLink, DeviceView, MemberRef},
    },
    code::Code,
    join_link::{JoinLink, LinkPurpose},
    name::Name,
    problem::Problem,
};
use serde_json::json;

use super::{
    Context,
    moments::{ago, now},
    session::{Session, ask},
    table::Table,
};

/// The computers that you are signed in on
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  compute-share device list\n  compute-share device revoke old-laptop"
)]
pub(super) enum Device {
    List(List),
    Link(Link),
    Revoke(Revoke),
}

/// List the computers that you are signed in on
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share device list\n  compute-share device list --user bob"
)]
pub(super) struct List {
    /// Another member's, as an admin; only of who is in no other org
    #[arg(long, value_name = "HANDLE")]
    user: Option<Name>,
}

/// Make a sign-in link for one more computer of yours, or as an admin for a member who lost theirs
///
/// It is shown this once and good once: your own for a quarter of an hour, another member's for a day.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share device link\n  compute-share device link --user bob --reset"
)]
pub(super) struct Link {
    /// Another member's, as an admin; only of who is in no other org
    #[arg(long, value_name = "HANDLE")]
    user: Option<Name>,
    /// With its use their password and two-factor are gone, which were lost
    #[arg(long, requires = "user")]
    reset: bool,
    /// Make none, and those useless that were made and not used
    #[arg(long, conflicts_with = "reset")]
    revoke: bool,
}

/// Sign a lost computer out for good, at once
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share device revoke old-laptop\n  compute-share device revoke laptop --user bob"
)]
pub(super) struct Revoke {
    /// Name or id from `device list`
    #[arg(value_name = "NAME|ID")]
    device: Name,
    /// Another member's, as an admin; only of who is in no other org
    #[arg(long, value_name = "HANDLE")]
    user: Option<Name>,
}

impl Device {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        match self {
            Self::List(list) => list.run(context).await,
            Self::Link(link) => link.run(context).await,
            Self::Revoke(revoke) => revoke.run(context).await,
        }
    }
}

fn member(session: &Session, user: Option<Name>) -> Option<MemberRef> {
    let org = session.org;
    user.map(|handle| MemberRef { org, handle })
}

impl List {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        let of = member(&session, self.user);
        let request = Request::Account(AccountRequest::ListDevices { of });
        let devices =
            ask!(session, request, Answer::Account(AccountAnswer::Devices(list)) => list)?;
        session.end().await;
        context.output.show(
            &devices,
            |list| list.iter().map(|device| device.id.to_string()).collect(),
            |list| devices_table(list),
        )
    }
}

fn devices_table(devices: &[DeviceView]) -> String {
    let mut table = Table::new(&["DEVICE", "ID", "SIGNED IN", "RENEWED", "EXPIRES", ""]);
    for device in devices {
        let here = if device.current { "this one" } else { "" };
        table.row([
            device.name.to_string(),
            device.id.to_string(),
            ago(device.signed_in_at, now()),
            ago(device.renewed_at, now()),
            ago(device.expires_at, now()),
            here.to_owned(),
        ]);
    }
    table.to_text("No devices.")
}

impl Revoke {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        let of = member(&session, self.user);
        let consequence = format!(
            "{} is signed out at once and needs a new link to come back.",
            self.device
        );
        context.consent.obtain("revoking a device", &consequence)?;
        let device = Some(self.device.clone());
        let request = Request::Account(AccountRequest::RevokeDevice { of, device });
        let revoked = ask!(session, request, Answer::Done => ());
        match revoked {
            Ok(()) => session.end().await,
            // It was this one: nothing more comes over its connection.
            Err(problem) if problem.code == Code::CertificateRevoked => {}
            Err(problem) => return Err(problem),
        }
        let sentence = format!("{} is signed out.", self.device);
        let value = json!({"revoked": self.device});
        context.output.done(&value, &sentence)
    }
}

impl Link {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        if self.revoke {
            return revoke_links(context, self.user).await;
        }
        let session = context.session().await?;
        let Self { user, reset, .. } = self;
        if let Some(user) = user.as_ref().filter(|_| reset) {
            let consequence = format!(
                "Whoever has the link is {user}, without password and two-factor, which are gone once it is used."
            );
            context.consent.obtain("making such a link", &consequence)?;
        }
        let request = Request::CreateLoginLink(CreateLoginLink {
            org: session.org,
            user: user.clone(),
            reset,
        });
        let secret = ask!(session, request, Answer::LoginSecret { secret } => secret)?;
        let credentials = session.client.credentials();
        let link = JoinLink {
            address: credentials.address.clone(),
            purpose: LinkPurpose::Login,
            fingerprint: credentials.fingerprint,
            secret,
        };
        let link = link.to_string();
        session.end().await;
        let sentence = match user {
            None => format!(
                "On the other computer, run `compute-share login` with this link:\n\n{link}"
            ),
            Some(user) => format!(
                "Whoever has this link signs in as {user}, once, within a day. Give it to nobody else:\n\n{link}"
            ),
        };
        context.output.done(&json!({ "link": link }), &sentence)
    }
}

async fn revoke_links(context: &Context, user: Option<Name>) -> Result<(), Problem> {
    let session = context.session().await?;
    let of = member(&session, user.clone());
    let request = Request::Account(AccountRequest::RevokeLinks { of });
    ask!(session, request, Answer::Done => ())?;
    let handle = user.unwrap_or_else(|| session.client.credentials().handle.clone());
    session.end().await;
    let sentence =
        format!("Sign-in links for {handle} that nobody has used let nobody in any more.");
    context
        .output
        .done(&json!({ "revoked_for": handle }), &sentence)
}
