//! `login join whoami logout`: who the member is on this computer.

mod links;
mod visit;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use common::{
    api::{
        Answer, Request,
        account::AccountRequest,
        invitation::{InvitationAnswer, InvitationRequest, Joined},
    },
    code::Code,
    id::Fingerprint,
    join_link::{JoinLink, LinkPurpose},
    name::Name,
    problem::Problem,
};
use serde_json::json;

pub(super) use self::links::invitation_link;
use self::links::{check_token, parse_link, with_token, wrong_purpose};
pub(super) use self::visit::Visit;
use super::{
    Context,
    amounts::counted,
    moments::{ago, local, now},
    output::Facts,
    prompt,
    session::who_am_i,
};
use crate::client::{
    Client,
    credentials::{Credentials, Store},
    enrol::{Newcomer, enrol},
    unexpected,
};

#[derive(Debug, Subcommand)]
pub(super) enum SignIn {
    Login(Login),
    Join(Join),
    Whoami(WhoAmI),
    Logout(Logout),
}

/// Sign in on this computer with a link from the coordinator
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share login 'compute-share://lab.example:7443/login/…'\n  compute-share login \"$COMPUTE_SHARE_TOKEN_LINK\"\n  compute-share login cs_… --coordinator lab.example:7443 --ca FINGERPRINT"
)]
pub(super) struct Login {
    /// The sign-in link, in single quotes; or an API token, or the link of one
    #[arg(value_name = "LINK|TOKEN")]
    link: String,
    /// Code of your two-factor app, or a recovery code; asked for on a terminal
    #[arg(long, visible_alias = "totp", value_name = "CODE")]
    code: Option<String>,
    /// Where the coordinator is; a link says it itself
    #[arg(long, value_name = "HOST:PORT", requires = "ca")]
    coordinator: Option<String>,
    /// Fingerprint of the coordinator's root certificate; a link says it itself
    #[arg(long, value_name = "FINGERPRINT", requires = "coordinator")]
    ca: Option<Fingerprint>,
}

/// Become a member of an org with an invitation
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share join 'compute-share://lab.example:7443/join/…' --handle bob\n  compute-share join ABCD-EFGH-JKLM --coordinator lab.example:7443 --ca FINGERPRINT"
)]
pub(super) struct Join {
    /// The invitation: a link in single quotes, or a code
    #[arg(value_name = "LINK|CODE")]
    invitation: String,
    /// How others will call you (default: your login name)
    #[arg(long, value_name = "NAME")]
    handle: Option<Name>,
    /// Where the coordinator is; a link says it itself
    #[arg(long, value_name = "HOST:PORT", requires = "ca")]
    coordinator: Option<String>,
    /// Fingerprint of the coordinator's root certificate; a link says it itself
    #[arg(long, value_name = "FINGERPRINT", requires = "coordinator")]
    ca: Option<Fingerprint>,
}

/// Show who you are and which orgs you belong to
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share whoami -o json")]
pub(super) struct WhoAmI {}

/// Sign this computer out, here and at the coordinator
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share logout")]
pub(super) struct Logout {}

impl SignIn {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        match self {
            Self::Login(login) => login.run(context).await,
            Self::Join(join) => join.run(context).await,
            Self::Whoami(_) => whoami(context).await,
            Self::Logout(_) => logout(context).await,
        }
    }
}

impl Login {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let link = match (self.coordinator, self.ca) {
            (Some(address), Some(fingerprint)) => with_token(&address, fingerprint, &self.link)?,
            _ => parse_link(&self.link)?,
        };
        check_token(&link)?;
        if link.purpose == LinkPurpose::Join {
            return Err(wrong_purpose(
                "this is an invitation",
                "Use `compute-share join LINK` with it.",
            ));
        }
        let newcomer = Newcomer {
            handle: None,
            code: self.code,
        };
        sign_in(context, &link, newcomer).await
    }
}

impl Join {
    /// With the account that this computer is signed in with, where it is one of the link's coordinator; else
    /// as somebody new.
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let known = context.store().find()?;
        let wanted = self.handle.clone();
        let handle = self.handle.or_else(login_name);
        let told = self.coordinator.zip(self.ca);
        let link = invitation_link(&self.invitation, told, known.as_ref())?;
        let Some(known) = known.filter(|known| known.fingerprint == link.fingerprint) else {
            return sign_in(context, &link, newcomer(handle)).await;
        };
        if let Some(wanted) = wanted.filter(|wanted| *wanted != known.handle) {
            let why = format!(
                "you are signed in as {} at this coordinator, and join with that account",
                known.handle
            );
            let what = format!("cannot join as {wanted}");
            return Err(Problem::new(Code::WrongState, what, why).help(
                "Leave --handle out; or run `compute-share logout` first to begin with an account of its own.",
            ));
        }
        let secret = link.secret.clone();
        let joined = match Client::connect(&context.store()).await {
            Ok(client) => enter(context, client, InvitationRequest::Join { secret }).await,
            Err(problem) => Err(problem),
        };
        match joined {
            // The account is gone: whoever comes now is new.
            Err(problem)
                if [Code::CertificateRevoked, Code::NotSignedIn].contains(&problem.code) =>
            {
                sign_in(context, &link, newcomer(handle)).await
            }
            joined => joined,
        }
    }
}

const fn newcomer(handle: Option<Name>) -> Newcomer {
    Newcomer { handle, code: None }
}

/// Returns this account's login name as far as it can be a handle.
fn login_name() -> Option<Name> {
    let name = std::env::var("USER")
        .or_else(|_| std::env::var("LOGNAME"))
        .ok()?;
    name.to_lowercase().parse().ok()
}

async fn sign_in(
    context: &Context,
    link: &JoinLink,
    mut newcomer: Newcomer,
) -> Result<(), Problem> {
    let store = context.store();
    let replaces = |known: &Credentials| {
        known.fingerprint != link.fingerprint || link.purpose == LinkPurpose::Token
    };
    if let Some(known) = store.find()?.filter(replaces) {
        let consequence = format!(
            "You are signed in as {} at {}; this computer forgets that.",
            known.handle, known.address
        );
        context
            .consent
            .obtain("signing in elsewhere", &consequence)?;
    }
    let enrolled = match enrol(&store, link, newcomer.clone()).await {
        Err(problem) if problem.code == Code::TwoFactorNeeded && prompt::can_ask() => {
            newcomer.code = Some(prompt::code()?);
            enrol(&store, link, newcomer).await?
        }
        enrolled => enrolled?,
    };
    let credentials = &enrolled.credentials;
    let value = json!({
        "user": credentials.user, "handle": credentials.handle, "org": credentials.org,
        "org_name": credentials.org_name, "role": enrolled.role, "coordinator": credentials.address,
    });
    let how = match link.purpose {
        LinkPurpose::Token => ", with a token",
        LinkPurpose::Join | LinkPurpose::Login => "",
    };
    let sentence = format!(
        "Signed in as {}, {} of {}{how}.",
        credentials.handle, enrolled.role, credentials.org_name
    );
    let id = credentials.user.to_string();
    context.output.show(&value, |_| vec![id], |_| sentence)
}

/// Comes into one more org with the account that is signed in; it is the active one from then on.
pub(super) async fn enter(
    context: &Context,
    client: Client,
    request: InvitationRequest,
) -> Result<(), Problem> {
    let joined = match client.ask(&Request::Invitation(request)).await? {
        Answer::Invitation(InvitationAnswer::Joined(joined)) => joined,
        other => return Err(unexpected(&other)),
    };
    let mut credentials = client.credentials().clone();
    client.close().await;
    let before = std::mem::replace(&mut credentials.org_name, joined.org_name.clone());
    credentials.org = joined.org;
    context.store().save(&credentials)?;
    let Credentials { user, handle, .. } = &credentials;
    let value = json!({
        "user": user, "handle": handle, "org": joined.org, "org_name": joined.org_name, "role": joined.role,
        "coordinator": credentials.address,
    });
    let Joined { org_name, role, .. } = &joined;
    let mut sentence = format!("{handle} is {role} of {org_name} now.");
    if before != *org_name {
        sentence += &format!(
            "\n{org_name} is the active org; `compute-share org use {before}` goes back to {before}."
        );
    }
    let id = user.to_string();
    context.output.show(&value, |_| vec![id], |_| sentence)
}

async fn whoami(context: &Context) -> Result<(), Problem> {
    let client = Client::connect(&context.store()).await?;
    let who = who_am_i(&client).await?;
    let credentials = client.credentials().clone();
    client.renew_if_due(&context.store(), now()).await.ok();
    client.close().await;
    context.output.show(
        &who,
        |who| vec![who.user.to_string()],
        |who| {
            let orgs = who.orgs.iter().map(|membership| {
                let active = if membership.org == credentials.org {
                    ", active"
                } else {
                    ""
                };
                format!("{} ({}{active})", membership.name, membership.role)
            });
            let expires = who.certificate_expires_at;
            let waiting = match who.pending_invitations {
                0 => String::new(),
                count => format!(
                    "{}; `compute-share invite list --mine` shows them",
                    counted(u64::from(count), "invitation")
                ),
            };
            Facts::default()
                .with("user", &who.handle)
                .with("id", who.user)
                .with_some("name", who.display_name.as_ref())
                .with_some("e-mail", who.email.as_ref())
                .with("two-factor", if who.two_factor { "on" } else { "off" })
                .with_some("token of scope", who.scope)
                .with("orgs", orgs.collect::<Vec<_>>().join("\n"))
                .with("waiting", waiting)
                .with(
                    "coordinator",
                    format!(
                        "{} (version {})",
                        credentials.address, who.coordinator_version
                    ),
                )
                .with(
                    "certificate",
                    format!("until {} ({})", local(expires), ago(expires, now())),
                )
                .to_text()
        },
    )
}

async fn logout(context: &Context) -> Result<(), Problem> {
    let store = context.store();
    let credentials = store.load()?;
    let consequence = format!(
        "To sign in again as {} at {} you will need a new link.",
        credentials.handle, credentials.address
    );
    context.consent.obtain("signing out", &consequence)?;
    let told = tell_logout(&store).await;
    store.remove()?;
    let folder: PathBuf = context.folders.config.clone();
    let value = json!({
        "signed_out": credentials.handle, "folder": folder, "coordinator_knows": told.is_ok(),
    });
    let mut sentence = format!("Signed out {}.", credentials.handle);
    if let Err(problem) = told {
        sentence += &format!(
            "\nThe coordinator does not know of it ({problem}). Nothing is left here that could sign in; if somebody \
             may have copied it, run `compute-share device revoke` on another computer."
        );
    }
    context.output.done(&value, &sentence)
}

/// Signs this computer out at the coordinator. Its connection goes with it, so that is the answer.
async fn tell_logout(store: &Store) -> Result<(), Problem> {
    let client = Client::connect(store).await?;
    let request = Request::Account(AccountRequest::RevokeDevice {
        of: None,
        device: None,
    });
    match client.ask(&request).await {
        Ok(_) => Ok(()),
        Err(problem) if problem.code == Code::CertificateRevoked => Ok(()),
        Err(problem) => Err(problem),
    }
}
