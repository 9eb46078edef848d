//! `token create|list|revoke`: what lets programs act for a user.

use clap::{Args, Subcommand};
use common::{
    api::{
        Answer, Request,
        token::{CreateToken, TokenAnswer, TokenRequest},
    },
    code::Code,
    join_link::{JoinLink, LinkPurpose},
    name::Name,
    problem::Problem,
    status::TokenScope,
    time::Span,
    token::{TOKEN_TTL, TokenStatus, TokenView},
};
use serde_json::json;

use super::{
    Context,
    moments::{ago, now},
    pages, prompt,
    session::ask,
    table::Table,
};

/// API tokens: let programs act for you in one org
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  compute-share token create --name nightly --scope submit")]
pub(super) enum Token {
    Create(Create),
    List(List),
    Revoke(Revoke),
}

/// Make a token; it is shown this once
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share token create --name nightly --scope submit\n  compute-share token create --name rack --scope admin --ttl 1d\n\nread looks and downloads; submit also submits and cancels jobs and adds data; admin does whatever your role\nallows in the org, registering machines too. None changes your account."
)]
pub(super) struct Create {
    /// How you will know it in the list
    #[arg(long)]
    name: Name,
    /// How far it reaches
    #[arg(long, value_name = "read|submit|admin")]
    scope: TokenScope,
    /// How long it is good for, at most a year
    #[arg(long, default_value_t = TOKEN_TTL, value_name = "SPAN")]
    ttl: Span,
    /// Code of your two-factor app, for the scope admin; asked for on a terminal
    #[arg(long, visible_alias = "totp", value_name = "CODE")]
    code: Option<String>,
}

/// List your tokens in the org
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share token list")]
pub(super) struct List {}

/// Make a token useless; what is signed in with it is signed out at once
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share token revoke nightly")]
pub(super) struct Revoke {
    /// Name or id from `token list`
    #[arg(value_name = "NAME|ID")]
    token: Name,
}

impl Token {
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
        let mut wish = CreateToken {
            org: session.org,
            name: self.name.clone(),
            scope: self.scope,
            ttl: self.ttl,
            code: self.code,
        };
        let request = Request::Token(TokenRequest::Create(wish.clone()));
        let created = ask!(session, request, Answer::Token(TokenAnswer::Created(token)) => token);
        let created = match created {
            Err(problem) if problem.code == Code::TwoFactorNeeded && prompt::can_ask() => {
                wish.code = Some(prompt::code()?);
                let request = Request::Token(TokenRequest::Create(wish));
                ask!(session, request, Answer::Token(TokenAnswer::Created(token)) => token)?
            }
            created => created?,
        };
        let link = JoinLink {
            address: session.client.credentials().address.clone(),
            purpose: LinkPurpose::Token,
            fingerprint: created.fingerprint,
            secret: created.secret.clone(),
        };
        let link = link.to_string();
        session.end().await;
        let value = json!({
            "id": created.id, "name": self.name, "scope": self.scope, "token": created.secret,
            "link": link, "expires_at": created.expires_at,
        });
        let sentence = format!(
            "{link}\n\nShown this once; it expires {}. Where the program runs: compute-share login 'LINK'",
            ago(created.expires_at, now())
        );
        context
            .output
            .show(&value, |_| vec![created.id.to_string()], |_| sentence)
    }
}

async fn list(context: &Context) -> Result<(), Problem> {
    let session = context.session().await?;
    let org = session.org;
    let tokens = pages::all(async |after| {
        let request = Request::Token(TokenRequest::List { org, after });
        ask!(session, request, Answer::Token(TokenAnswer::Tokens(page)) => page)
    });
    let tokens = tokens.await?;
    session.end().await;
    context.output.show(
        &tokens,
        |list| list.iter().map(|token| token.id.to_string()).collect(),
        |list| tokens_table(list),
    )
}

fn tokens_table(tokens: &[TokenView]) -> String {
    let mut table = Table::new(&[
        "TOKEN",
        "SCOPE",
        "STATUS",
        "MADE",
        "EXPIRES",
        "LAST USED",
        "ID",
    ]);
    for token in tokens {
        let used = token.last_used_at.map(|at| ago(at, now()));
        table.row([
            token.name.to_string(),
            token.scope.to_string(),
            status(token.status).to_owned(),
            ago(token.created_at, now()),
            ago(token.expires_at, now()),
            used.unwrap_or_else(|| "never".to_owned()),
            token.id.to_string(),
        ]);
    }
    table.to_text("No tokens. `compute-share token create` makes one.")
}

const fn status(status: TokenStatus) -> &'static str {
    match status {
        TokenStatus::Good => "good",
        TokenStatus::Expired => "expired",
        TokenStatus::Revoked => "revoked",
    }
}

impl Revoke {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        let consequence = format!("Programs that use {} are signed out at once.", self.token);
        context.consent.obtain("revoking a token", &consequence)?;
        let request = Request::Token(TokenRequest::Revoke {
            org: session.org,
            token: self.token.clone(),
        });
        ask!(session, request, Answer::Done => ())?;
        session.end().await;
        let sentence = format!("{} is revoked.", self.token);
        let value = json!({"revoked": self.token});
        context.output.done(&value, &sentence)
    }
}
