//! `org logo show|set|get|remove`: the org's picture.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use common::{
    api::{
        Answer, Request,
        org::{OrgAnswer, OrgRequest},
    },
    code::Code,
    org::{
        logo::{self, LogoView, MAX_LOGO_BYTES, Picture},
        settings::InvalidSetting,
    },
    problem::Problem,
};
use serde_json::json;

use crate::cli::{
    Context,
    output::Facts,
    session::{Session, ask},
};

/// Show or change the org's logo: a PNG, JPEG or WebP picture of at most 256 KiB
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share org logo set lab.png\n  compute-share org logo get copy.png"
)]
pub(in crate::cli) struct Logo {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show its kind, size and BLAKE3 digest
    #[command(after_help = "Example:\n  compute-share org logo show")]
    Show,
    /// Make a picture the org's logo
    #[command(after_help = "Example:\n  compute-share org logo set lab.png")]
    Set { file: PathBuf },
    /// Write it to a file, which must not be there yet
    #[command(after_help = "Example:\n  compute-share org logo get copy.png")]
    Get { file: PathBuf },
    /// Have none
    #[command(after_help = "Example:\n  compute-share org logo remove")]
    Remove,
}

impl Logo {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        match self.verb.unwrap_or(Verb::Show) {
            Verb::Show => show(context).await,
            Verb::Set { file } => set(context, &file).await,
            Verb::Get { file } => get(context, &file).await,
            Verb::Remove => remove(context).await,
        }
    }
}

async fn show(context: &Context) -> Result<(), Problem> {
    let session = context.session().await?;
    let about = fetch(&session).await?.about;
    session.end().await;
    context
        .output
        .show(&about, |about| vec![about.blake3.to_string()], facts)
}

async fn fetch(session: &Session) -> Result<logo::Logo, Problem> {
    let question = Request::Org(OrgRequest::ShowLogo { org: session.org });
    ask!(session, question, Answer::AboutOrg(OrgAnswer::Logo(logo)) => *logo)
}

async fn set(context: &Context, file: &Path) -> Result<(), Problem> {
    let picture = read(file)?;
    let session = context.session().await?;
    let org = session.org;
    ask!(session, Request::Org(OrgRequest::SetLogo { org, picture }), Answer::Done => ())?;
    let about = fetch(&session).await?.about;
    let name = session.org_name.clone();
    session.end().await;
    context.output.show(
        &about,
        |about| vec![about.blake3.to_string()],
        |about| format!("The logo of {name} is now:\n{}", facts(about)),
    )
}

async fn get(context: &Context, file: &Path) -> Result<(), Problem> {
    let session = context.session().await?;
    let logo = fetch(&session).await?;
    session.end().await;
    let written = File::create_new(file).and_then(|mut out| out.write_all(&logo.picture.0));
    written.map_err(|error| io_problem(file, "written", &error))?;
    context.output.done(
        &json!({"file": file, "logo": logo.about}),
        &format!("{} is the logo: {}.", file.display(), short(&logo.about)),
    )
}

async fn remove(context: &Context) -> Result<(), Problem> {
    let session = context.session().await?;
    let request = OrgRequest::RemoveLogo { org: session.org };
    ask!(session, Request::Org(request), Answer::Done => ())?;
    let name = session.org_name.clone();
    session.end().await;
    context.output.done(
        &json!({"org_name": name, "logo": null}),
        &format!("{name} has no logo now."),
    )
}

/// Reads a picture, and no more of a file than a logo may have.
fn read(file: &Path) -> Result<Picture, Problem> {
    let io = |error: std::io::Error| io_problem(file, "read", &error);
    let source = File::open(file).map_err(io)?;
    check_size(source.metadata().map_err(io)?.len())?;
    let mut bytes = Vec::new();
    let mut source = source.take(MAX_LOGO_BYTES as u64 + 1);
    source.read_to_end(&mut bytes).map_err(io)?;
    // What has no length, such as a pipe, is cut off beyond the bound.
    check_size(bytes.len() as u64)?;
    Ok(Picture(bytes))
}

fn check_size(bytes: u64) -> Result<(), Problem> {
    let bad = |error: InvalidSetting| {
        let what = "cannot change the settings";
        Problem::new(Code::BadSetting, what, error.to_string())
    };
    logo::check_size(bytes).map_err(bad)
}

fn io_problem(file: &Path, done: &str, error: &std::io::Error) -> Problem {
    let what = format!("{} was not {done}", file.display());
    Problem::new(Code::Io, what, error.to_string())
}

/// Returns `image/png, 12 KiB`.
pub(super) fn short(about: &LogoView) -> String {
    format!("{}, {}", about.media_type, about.bytes)
}

fn facts(about: &LogoView) -> String {
    Facts::default()
        .with("type", about.media_type)
        .with("bytes", about.bytes)
        .with("blake3", about.blake3)
        .to_text()
}
