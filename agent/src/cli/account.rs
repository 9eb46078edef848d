//! `account show|set`: the user's own account.

use clap::{Args, Subcommand};
use common::{
    api::{
        Answer, Request,
        account::{AccountAnswer, AccountRequest, AccountView},
    },
    problem::Problem,
};

use super::{
    Context,
    output::Facts,
    session::{Session, ask},
};

/// Your account: how others see you, and what protects it
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  compute-share account set --name 'Ada Lovelace'")]
pub(super) enum Account {
    Show(Show),
    Set(Set),
}

/// Show your account
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share account show")]
pub(super) struct Show {}

/// Change how others see you
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share account set --name 'Ada Lovelace' --email ada@lab.example\n  compute-share account set --email ''"
)]
#[group(required = true, multiple = true)]
pub(super) struct Set {
    /// Your name as people write it; empty for none
    #[arg(long)]
    name: Option<String>,
    /// Your e-mail address, which admins see; empty for none
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
}

impl Account {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        match self {
            Self::Show(_) => {
                let session = context.session().await?;
                show(context, session).await
            }
            Self::Set(set) => set.run(context).await,
        }
    }
}

impl Set {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        let request = Request::Account(AccountRequest::ChangeProfile {
            display_name: self.name,
            email: self.email,
        });
        ask!(session, request, Answer::Done => ())?;
        show(context, session).await
    }
}

async fn show(context: &Context, session: Session) -> Result<(), Problem> {
    let request = Request::Account(AccountRequest::Show);
    let account = ask!(session, request, Answer::Account(AccountAnswer::Account(view)) => view)?;
    session.end().await;
    context
        .output
        .show(&account, |view| vec![view.user.to_string()], facts)
}

fn facts(view: &AccountView) -> String {
    Facts::default()
        .with("user", &view.handle)
        .with("id", view.user)
        .with_some("name", view.display_name.as_ref())
        .with_some("e-mail", view.email.as_ref())
        .to_text()
}
