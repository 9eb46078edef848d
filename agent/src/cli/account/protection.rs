//! `account password` and `account two-factor`: what shows that it is the user.

use clap::{Args, Subcommand};
use common::{
    api::{
        Answer, Request,
        account::{AccountAnswer, AccountRequest, AccountView, Proof},
    },
    problem::Problem,
};
use serde_json::json;

use super::view;
use crate::cli::{
    Context,
    amounts::counted,
    moments::{ago, now},
    prompt,
    session::{Session, ask},
};

#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  compute-share account password set")]
pub(in crate::cli) enum Password {
    Set(SetPassword),
}

/// Set or change your password
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share account password set\n  printf '%s\\n%s\\n' \"$NEW\" \"$PRESENT\" | compute-share account password set --stdin"
)]
pub(in crate::cli) struct SetPassword {
    /// Read the new password from the first line of stdin, and the present one, where there is one, from the second
    #[arg(long)]
    stdin: bool,
    #[command(flatten)]
    code: CodeFlag,
}

#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  compute-share account two-factor setup")]
pub(in crate::cli) enum TwoFactor {
    Setup(Setup),
    Confirm(Confirm),
    Status(Status),
    Recovery(Recovery),
    Off(Off),
}

/// Begin: shows a secret for your app, and on a terminal asks for its first code
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share account two-factor setup")]
pub(in crate::cli) struct Setup {}

/// Turn it on with the first code, and show the recovery codes this once
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share account two-factor confirm 123456")]
pub(in crate::cli) struct Confirm {
    /// The code that your app shows now
    code: String,
}

/// Show whether it is on, and how many recovery codes are left
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share account two-factor status")]
pub(in crate::cli) struct Status {}

/// Make new recovery codes; the old ones are useless then
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share account two-factor recovery")]
pub(in crate::cli) struct Recovery {
    #[command(flatten)]
    proof: ProofFlags,
}

/// Turn it off
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share account two-factor off")]
pub(in crate::cli) struct Off {
    #[command(flatten)]
    proof: ProofFlags,
}

#[derive(Debug, Args)]
struct CodeFlag {
    /// Code of your two-factor app, or a recovery code, in place of the present password
    #[arg(long, visible_alias = "totp", value_name = "CODE")]
    code: Option<String>,
}

#[derive(Debug, Args)]
struct ProofFlags {
    /// Read the present password from stdin
    #[arg(long)]
    stdin: bool,
    #[command(flatten)]
    code: CodeFlag,
}

/// Returns what shows that it is the user, as far as anything is needed: a code that was given, a password, a code.
fn proof(
    account: &AccountView,
    code: Option<String>,
    stdin: bool,
) -> Result<Option<Proof>, Problem> {
    let two_factor = account.two_factor.is_some();
    if code.is_some() {
        return Ok(code.map(Proof::Code));
    }
    if stdin && account.has_password {
        return prompt::line("the present password").map(|line| Some(Proof::Password(line)));
    }
    // Without somebody to ask it is the coordinator that says what is missing.
    if !prompt::can_ask() {
        return Ok(None);
    }
    if account.has_password {
        return prompt::present_password().map(|password| Some(Proof::Password(password)));
    }
    if two_factor {
        return prompt::code().map(|code| Some(Proof::Code(code)));
    }
    Ok(None)
}

impl Password {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Problem> {
        let Self::Set(set) = self;
        if !set.stdin {
            prompt::expect_somebody()?;
        }
        let session = context.session().await?;
        let account = view(&session).await?;
        let password = if set.stdin {
            prompt::line("the new password")?
        } else {
            prompt::new_password()?
        };
        let proof = proof(&account, set.code.code, set.stdin)?;
        let request = Request::Account(AccountRequest::SetPassword { password, proof });
        ask!(session, request, Answer::Done => ())?;
        session.end().await;
        let done = json!({"password": "set"});
        context.output.done(&done, "The password is set.")
    }
}

impl TwoFactor {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        match self {
            Self::Setup(_) => setup(context, session).await,
            Self::Confirm(confirm) => {
                let code = confirm.code;
                let request = AccountRequest::ConfirmTwoFactor { code };
                let said = "Two-factor is on.";
                recovery_codes(context, session, request, said).await
            }
            Self::Status(_) => {
                let account = view(&session).await?;
                session.end().await;
                let value = json!({"two_factor": account.two_factor});
                context.output.done(&value, &status(&account))
            }
            Self::Recovery(Recovery { proof: flags }) => {
                let account = view(&session).await?;
                let proof = proof(&account, flags.code.code, flags.stdin)?;
                let request = AccountRequest::NewRecoveryCodes { proof };
                let said = "The old recovery codes are useless now.";
                recovery_codes(context, session, request, said).await
            }
            Self::Off(Off { proof: flags }) => {
                let account = view(&session).await?;
                let proof = proof(&account, flags.code.code, flags.stdin)?;
                let request = Request::Account(AccountRequest::StopTwoFactor { proof });
                ask!(session, request, Answer::Done => ())?;
                session.end().await;
                let value = json!({"two_factor": null});
                context.output.done(&value, "Two-factor is off.")
            }
        }
    }
}

async fn setup(context: &Context, session: Session) -> Result<(), Problem> {
    let request = Request::Account(AccountRequest::BeginTwoFactor);
    let (uri, secret) = ask!(session, request, Answer::Account(AccountAnswer::TwoFactorBegun { uri, secret }) => (uri, secret))?;
    let show = |then: &str| {
        let sentence = format!(
            "Add this to your two-factor app, as a link or as the secret in it:\n\n{uri}\n{secret}\n\n{then}"
        );
        let value = json!({"uri": uri, "secret": secret});
        context.output.done(&value, &sentence)
    };
    if context.output.format == crate::cli::Format::Json || !prompt::can_ask() {
        session.end().await;
        return show(
            "Then turn two-factor on with the code that it shows:\n  compute-share account two-factor confirm CODE",
        );
    }
    show("Then type in the code that it shows.")?;
    let code = prompt::code()?;
    let request = AccountRequest::ConfirmTwoFactor { code };
    recovery_codes(context, session, request, "Two-factor is on.").await
}

/// Shows recovery codes, this once.
async fn recovery_codes(
    context: &Context,
    session: Session,
    request: AccountRequest,
    said: &str,
) -> Result<(), Problem> {
    let request = Request::Account(request);
    let codes =
        ask!(session, request, Answer::Account(AccountAnswer::RecoveryCodes(codes)) => codes)?;
    session.end().await;
    let sentence = format!(
        "{said} Keep these recovery codes where you find them without your phone; each is good once in place of a code:\n\n{}",
        codes.join("\n")
    );
    let value = json!({"recovery_codes": codes});
    context.output.show(&value, |_| codes.clone(), |_| sentence)
}

/// Says how two-factor stands.
pub(super) fn status(account: &AccountView) -> String {
    match account.two_factor {
        None => "off".to_owned(),
        Some(on) => {
            let left = counted(u64::from(on.recovery_codes_left), "recovery code");
            format!("on since {}, {left} left", ago(on.since, now()))
        }
    }
}
