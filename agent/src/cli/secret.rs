//! `secret set|list|allow|disallow|delete`: values that jobs use and nobody is shown.

use std::{
    fs::File,
    io::{IsTerminal as _, Read},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use common::{
    api::{
        Answer, Request,
        secret::{AllowSecret, SecretAnswer, SecretRequest, SetSecret, UsersChange},
    },
    code::Code,
    id::OrgId,
    name::Name,
    problem::Problem,
    seal::RegistryLogin,
    secret::{
        LEAST_MASKED_BYTES, MAX_VALUE_BYTES, SecretKind, SecretName, SecretUser, SecretView,
        sealing_context,
    },
};
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    Context,
    moments::{ago, now},
    pages,
    session::{Session, ask, who_am_i},
    table::Table,
};

/// Keep passwords and tokens for jobs; nobody is shown them again
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Example:\n  compute-share secret set HF_TOKEN < token.txt\n  compute-share secret allow HF_TOKEN --project vision\n  compute-share submit --project vision --secret HF_TOKEN -- python3 train.py"
)]
pub(super) enum Secret {
    Set(Set),
    List(List),
    Allow(Allow),
    Disallow(Disallow),
    Delete(Delete),
}

/// Set a secret of the org, or of a project; the value comes from standard input
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share secret set HF_TOKEN < token.txt\n  compute-share secret set DEPLOY_KEY --project vision --from-file id_ed25519\n  compute-share secret set LAB_REGISTRY --registry registry.lab:5000 --user robot\n\nA job that says `secrets: [HF_TOKEN]` finds it as the variable HF_TOKEN. A line break at the\nvery end is not part of it. Wherever the job prints it, its log shows *** instead."
)]
pub(super) struct Set {
    name: SecretName,
    /// Only for this project's jobs (default: the org's own, for whom `secret allow` says)
    #[arg(long, value_name = "NAME")]
    project: Option<Name>,
    /// Read the value from a file
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
    /// The value is the password of this registry, and opens it for jobs whose image comes from there
    #[arg(long, value_name = "HOST[:PORT]", requires = "user")]
    registry: Option<String>,
    /// Who signs in to the registry
    #[arg(long, value_name = "NAME", requires = "registry")]
    user: Option<String>,
}

/// List the secrets that you may use, without their values
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share secret list")]
pub(super) struct List {}

/// Say whose jobs may use a secret of the org, besides those of its admins
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share secret allow HF_TOKEN --member bob\n  compute-share secret allow HF_TOKEN --project vision\n  compute-share secret allow HF_TOKEN --admins"
)]
pub(super) struct Allow {
    name: SecretName,
    #[command(flatten)]
    users: Users,
    /// Only admins, and nobody else any more
    #[arg(long, group = "who")]
    admins: bool,
}

/// Take back what `secret allow` gave
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share secret disallow HF_TOKEN --member bob")]
pub(super) struct Disallow {
    name: SecretName,
    #[command(flatten)]
    users: Users,
}

#[derive(Debug, Args)]
#[group(id = "who", required = true, multiple = false)]
struct Users {
    /// Jobs of this member
    #[arg(long, value_name = "HANDLE")]
    member: Option<Name>,
    /// Jobs in this project
    #[arg(long, value_name = "NAME")]
    project: Option<Name>,
    /// All jobs of the org
    #[arg(long)]
    everyone: bool,
}

/// Delete a secret; attempts that start later do without
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share secret delete HF_TOKEN")]
pub(super) struct Delete {
    name: SecretName,
    /// That of this project
    #[arg(long, value_name = "NAME")]
    project: Option<Name>,
}

impl Secret {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        match self {
            Self::Set(set) => set.run(context).await,
            Self::List(_) => list(context).await,
            Self::Allow(allow) => allow.run(context).await,
            Self::Disallow(disallow) => {
                let change = UsersChange::Disallow(disallow.users.user());
                change_users(context, disallow.name, change).await
            }
            Self::Delete(delete) => delete.run(context).await,
        }
    }
}

impl Set {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let Self { name, project, .. } = &self;
        let (kind, value) = self.kind_and_value()?;
        let session = context.session().await?;
        let sealed = {
            let key = who_am_i(&session.client).await?.sealing_key;
            let bound = sealing_context(session.org, project.as_ref(), name);
            certs::seal(&key, bound.as_bytes(), &value).map_err(|error| {
                Problem::new(
                    Code::Protocol,
                    "the secret cannot be sent",
                    error.to_string(),
                )
            })?
        };
        let request = SecretRequest::Set(SetSecret {
            org: session.org,
            project: project.clone(),
            name: name.clone(),
            kind,
            value: sealed,
        });
        let said = |secret: &SecretView| {
            let short = match (&secret.kind, secret.masked) {
                (SecretKind::Variable, false) => format!(
                    " It is shorter than {LEAST_MASKED_BYTES} bytes, so logs will show it where a job prints it."
                ),
                _ => String::new(),
            };
            format!(
                "Secret {} is set, version {}.{short}",
                secret.name, secret.version
            )
        };
        tell_one(context, session, request, said).await
    }

    fn kind_and_value(&self) -> Result<(SecretKind, Zeroizing<Vec<u8>>), Problem> {
        let value = match &self.from_file {
            Some(path) => read_file(path)?,
            None => read_input(&self.name)?,
        };
        let (Some(registry), Some(user)) = (&self.registry, &self.user) else {
            return Ok((SecretKind::Variable, value));
        };
        let password = std::str::from_utf8(&value)
            .map_err(|error| unreadable("the password", &error))?
            .to_owned();
        let login = RegistryLogin {
            registry: registry.clone(),
            user: user.clone(),
            password,
        };
        let sealed = serde_json::to_vec(&login).map_err(|error| unreadable("the login", &error))?;
        let registry = registry.clone();
        Ok((SecretKind::Registry { registry }, Zeroizing::new(sealed)))
    }
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let what = path.display().to_string();
    let file = File::open(path).map_err(|error| unreadable(&what, &error))?;
    read_bounded(file, &what)
}

/// Reads the value from standard input; a person is asked, and what they type is not shown.
fn read_input(name: &SecretName) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return read_bounded(input.lock(), "standard input");
    }
    let typed = dialoguer::Password::new()
        .with_prompt(format!("Value of {name}"))
        .interact();
    let typed = typed.map_err(|error| unreadable("the value", &error))?;
    Ok(Zeroizing::new(typed.into_bytes()))
}

/// Reads a value, without a line break at its end.
fn read_bounded(from: impl Read, what: &str) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let mut value = Zeroizing::new(Vec::new());
    let most = u64::try_from(MAX_VALUE_BYTES + 2).unwrap_or(u64::MAX);
    from.take(most)
        .read_to_end(&mut value)
        .map_err(|error| unreadable(what, &error))?;
    for end in [b'\n', b'\r'] {
        if value.last() == Some(&end) {
            value.pop();
        }
    }
    if value.len() > MAX_VALUE_BYTES {
        let why = format!("{what} is longer than {MAX_VALUE_BYTES} bytes");
        return Err(
            Problem::new(Code::BadRequest, "cannot set this secret", why)
                .help("Keep long data as a dataset, and a key that opens it as the secret."),
        );
    }
    Ok(value)
}

fn unreadable(what: &str, error: &dyn std::fmt::Display) -> Problem {
    Problem::new(
        Code::Io,
        format!("{what} cannot be read"),
        error.to_string(),
    )
}

async fn list(context: &Context) -> Result<(), Problem> {
    let session = context.session().await?;
    let org = session.org;
    let secrets = pages::all(async |after| {
        let request = Request::Secret(SecretRequest::List { org, after });
        ask!(session, request, Answer::Secret(SecretAnswer::List(page)) => page)
    });
    let secrets = secrets.await?;
    session.end().await;
    context.output.show(
        &secrets,
        |secrets| secrets.iter().map(|one| one.name.to_string()).collect(),
        |secrets| secrets_table(secrets),
    )
}

fn secrets_table(secrets: &[SecretView]) -> String {
    let mut table = Table::new(&[
        "SECRET",
        "OF",
        "OPENS",
        ">VERSION",
        "SET BY",
        "SET",
        "FOR JOBS OF",
    ]);
    for secret in secrets {
        table.row([
            secret.name.to_string(),
            secret
                .project
                .as_ref()
                .map_or_else(|| "org".to_owned(), |name| format!("project {name}")),
            match &secret.kind {
                SecretKind::Variable => String::new(),
                SecretKind::Registry { registry } => registry.clone(),
            },
            secret.version.to_string(),
            secret.set_by.to_string(),
            ago(secret.set_at, now()),
            users(secret),
        ]);
    }
    table.to_text("No secrets for you. `compute-share secret set NAME` makes one.")
}

fn users(secret: &SecretView) -> String {
    match (&secret.project, &secret.users) {
        (Some(project), _) => format!("project {project}"),
        (None, None) => "you".to_owned(),
        (None, Some(users)) if users.everyone => "everyone".to_owned(),
        (None, Some(users)) => {
            let members = users.members.iter().map(Name::to_string);
            let projects = users.projects.iter().map(|name| format!("project {name}"));
            let admins = std::iter::once("admins".to_owned());
            let all: Vec<String> = admins.chain(members).chain(projects).collect();
            all.join(", ")
        }
    }
}

impl Users {
    fn user(self) -> SecretUser {
        match (self.member, self.project) {
            (Some(member), _) => SecretUser::Member(member),
            (None, Some(project)) => SecretUser::Project(project),
            (None, None) => SecretUser::Everyone,
        }
    }
}

impl Allow {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let change = if self.admins {
            UsersChange::AdminsOnly
        } else {
            UsersChange::Allow(self.users.user())
        };
        change_users(context, self.name, change).await
    }
}

async fn change_users(
    context: &Context,
    name: SecretName,
    change: UsersChange,
) -> Result<(), Problem> {
    let session = context.session().await?;
    let org: OrgId = session.org;
    let request = SecretRequest::Allow(AllowSecret { org, name, change });
    let said =
        |secret: &SecretView| format!("Secret {} is for jobs of: {}.", secret.name, users(secret));
    tell_one(context, session, request, said).await
}

impl Delete {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let consequence = format!("Secret {} is gone for every job that uses it.", self.name);
        context.consent.obtain("deleting a secret", &consequence)?;
        let session = context.session().await?;
        let name = self.name.clone();
        let request = Request::Secret(SecretRequest::Delete {
            org: session.org,
            project: self.project,
            name: self.name,
        });
        ask!(session, request, Answer::Secret(SecretAnswer::Deleted) => ())?;
        session.end().await;
        let sentence = format!("Secret {name} is deleted.");
        context.output.done(&json!({"deleted": name}), &sentence)
    }
}

async fn tell_one(
    context: &Context,
    session: Session,
    request: SecretRequest,
    said: impl FnOnce(&SecretView) -> String,
) -> Result<(), Problem> {
    let request = Request::Secret(request);
    let answer = ask!(session, request, Answer::Secret(answer) => answer)?;
    session.end().await;
    let SecretAnswer::One(secret) = answer else {
        return Err(unexpected(answer));
    };
    context
        .output
        .show(&secret, |secret| vec![secret.id.to_string()], said)
}

fn unexpected(answer: SecretAnswer) -> Problem {
    crate::client::unexpected(&Answer::Secret(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_break_at_the_end_is_no_part_of_a_value() {
        let read = |text: &str| read_bounded(text.as_bytes(), "it").map(|value| value.to_vec());
        assert_eq!(read("hunter22\n").unwrap(), b"hunter22");
        assert_eq!(read("hunter22\r\n").unwrap(), b"hunter22");
        assert_eq!(read("a\n\n").unwrap(), b"a\n");
        assert_eq!(read("").unwrap(), b"");
        let most = "x".repeat(MAX_VALUE_BYTES);
        assert_eq!(read(&format!("{most}\n")).unwrap().len(), MAX_VALUE_BYTES);
        let long = read(&format!("{most}x")).unwrap_err();
        assert_eq!(long.code, Code::BadRequest);
        assert!(!long.to_string().contains("xxx"), "{long}");
    }
}
