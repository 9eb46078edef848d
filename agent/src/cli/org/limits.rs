//! `org limits show|apply|diff`: the org's bounds.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use common::{
    api::{
        Answer, Request,
        limits::{LimitsAnswer, LimitsDiff, LimitsRequest, OrgLimits},
    },
    name::Name,
    problem::Problem,
};

use super::super::{
    Context, limits_file,
    session::{Session, ask},
    table::Table,
};

/// Show, compare or change the org's limits
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share org limits\n  compute-share org limits diff limits.yaml\n  compute-share org limits apply limits.yaml\n\nThe file:\n  organization:\n    limits:\n      max_machines_per_user: 10\n      max_concurrent_jobs_per_user: 20\n      max_queued_jobs_per_user: 10000\n      max_job_runtime: 86400        # seconds, or 24h\n      max_job_memory: 65536         # MB, or 64GiB\n      concurrent: {gpu: 16, rtx-5090: 4, cpu: 512}   # the whole org\n      per_user: {gpu: 2, rtx-5090: 1}                # every member unless set singly\n      storage: {datasets: 2TiB, artifacts: 500GiB}"
)]
pub(in super::super) struct Limits {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the limits, and what counts against those on the org as a whole
    #[command(after_help = "Example:\n  compute-share org limits show")]
    Show,
    /// Replace the limits by those of a file; what the file leaves out is unlimited
    #[command(after_help = "Example:\n  compute-share org limits apply limits.yaml")]
    Apply { file: PathBuf },
    /// Say what a file would change and who would be over a limit, and change nothing
    #[command(after_help = "Example:\n  compute-share org limits diff limits.yaml")]
    Diff { file: PathBuf },
}

impl Limits {
    pub(in super::super) async fn run(self, context: &Context) -> Result<(), Problem> {
        match self.verb.unwrap_or(Verb::Show) {
            Verb::Show => show(context).await,
            Verb::Apply { file } => apply(context, &file).await,
            Verb::Diff { file } => diff(context, &file).await,
        }
    }
}

async fn ask_limits(session: &Session) -> Result<OrgLimits, Problem> {
    let request = Request::Limits(LimitsRequest::Show { org: session.org });
    ask!(session, request, Answer::Limits(LimitsAnswer::Org(limits)) => limits)
}

async fn show(context: &Context) -> Result<(), Problem> {
    let session = context.session().await?;
    let limits = ask_limits(&session).await?;
    session.end().await;
    context.output.show(&limits, |_| Vec::new(), text)
}

async fn apply(context: &Context, file: &Path) -> Result<(), Problem> {
    let limits = limits_file::load(file)?;
    let session = context.session().await?;
    let request = Request::ApplyLimits {
        org: session.org,
        limits,
    };
    ask!(session, request, Answer::Done => ())?;
    let limits = ask_limits(&session).await?;
    let org = session.org_name.clone();
    session.end().await;
    context.output.show(
        &limits,
        |_| Vec::new(),
        |limits| format!("The limits of {org} are now:\n{}", text(limits)),
    )
}

async fn diff(context: &Context, file: &Path) -> Result<(), Problem> {
    let limits = Box::new(limits_file::load(file)?);
    let session = context.session().await?;
    let org = session.org;
    let request = Request::Limits(LimitsRequest::Diff { org, limits });
    let diff = ask!(session, request, Answer::Limits(LimitsAnswer::Diff(diff)) => diff)?;
    session.end().await;
    context.output.show(&diff, |_| Vec::new(), diff_text)
}

fn text(limits: &OrgLimits) -> String {
    let mut table = Table::new(&["LIMIT", ">VALUE", ">IN USE"]);
    for (limit, value) in limits.limits.entries() {
        let bound = limits.bounds.iter().find(|bound| bound.limit == limit);
        let in_use = bound.and_then(|bound| bound.in_use);
        table.row([
            limit,
            value.to_string(),
            in_use.map(|used| used.to_string()).unwrap_or_default(),
        ]);
    }
    let table = table.without_empty_columns().to_text("No limits.");
    format!("{}{}", table.trim_end(), unknown(&limits.unknown_models))
}

fn diff_text(diff: &LimitsDiff) -> String {
    let mut changes = Table::new(&["LIMIT", ">NOW", ">THEN"]);
    let shown = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    for change in &diff.changes {
        let before = change.before.map(|value| value.to_string());
        let after = change.after.map(|value| value.to_string());
        changes.row([change.limit.clone(), shown(before), shown(after)]);
    }
    let mut over = Table::new(&["OVER IT THEN", "LIMIT", ">VALUE", ">IN USE"]);
    for one in &diff.over {
        let member = one.member.as_ref().map(Name::to_string);
        over.row([
            member.unwrap_or_else(|| "the whole org".to_owned()),
            one.bound.limit.clone(),
            one.bound.value.to_string(),
            shown(one.bound.in_use.map(|used| used.to_string())),
        ]);
    }
    let mut text = changes
        .to_text("Nothing would change.")
        .trim_end()
        .to_owned();
    if !diff.over.is_empty() {
        let more = usize::try_from(diff.over_count).unwrap_or(usize::MAX);
        text += &format!("\n\n{}", over.to_text("").trim_end());
        match more.saturating_sub(diff.over.len()) {
            0 => {}
            more => text += &format!("\nand {more} more"),
        }
        text += "\n\nNothing of it ends; no more starts until it is within its limit.";
    }
    text + &unknown(&diff.unknown_models)
}

/// Returns a line about models that look mistyped.
fn unknown(models: &[Name]) -> String {
    if models.is_empty() {
        return String::new();
    }
    let models: Vec<&str> = models.iter().map(Name::as_str).collect();
    format!(
        "\n\nNo machine of the org has a GPU of this model: {}",
        models.join(", ")
    )
}
