//! `device link`: signing in on one more computer.

use clap::{Args, Subcommand};
use common::{
    api::{Answer, Request},
    join_link::{JoinLink, LinkPurpose},
    problem::Problem,
};
use serde_json::json;

use super::{Context, session::ask};

/// Sign in on your other computers
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  compute-share device link")]
pub(super) enum Device {
    Link(Link),
}

/// Make a sign-in link for one more computer of yours; it is shown this once and is good for a day
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share device link")]
pub(super) struct Link {}

impl Device {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        match self {
            Self::Link(_) => link(context).await,
        }
    }
}

async fn link(context: &Context) -> Result<(), Problem> {
    let session = context.session().await?;
    let request = Request::CreateLoginLink { org: session.org };
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
    let sentence =
        format!("On the other computer, run `compute-share login` with this link:\n\n{link}");
    context.output.done(&json!({ "link": link }), &sentence)
}
