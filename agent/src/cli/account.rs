//! `account show|set|password|two-factor`: the user's own account.

mod protection;

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
    /// The password, for the dashboard
    #[command(subcommand)]
    Password(protection::Password),
    /// A second factor: codes of an app on your phone
    #[command(subcommand)]
    TwoFactor(protection::TwoFactor),
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
            Self::Password(password) => password.run(context).await,
            Self::TwoFactor(two_factor) => two_factor.run(context).await,
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
    let account = view(&session).await?;
    session.end().await;
    context
        .output
        .show(&account, |view| vec![view.user.to_string()], facts)
}

async fn view(session: &Session) -> Result<AccountView, Problem> {
    let request = Request::Account(AccountRequest::Show);
    ask!(session, request, Answer::Account(AccountAnswer::Account(view)) => view)
}

fn facts(view: &AccountView) -> String {
    Facts::default()
        .with("user", &view.handle)
        .with("id", view.user)
        .with_some("name", view.display_name.as_ref())
        .with_some("e-mail", view.email.as_ref())
        .with("password", if view.has_password { "set" } else { "none" })
        .with("two-factor", protection::status(view))
        .to_text()
}
