//! `org audit [export|verify]`: who did what in the org, and the proof that it still says so.

mod proof;

use clap::{Args, Subcommand};
use common::{
    api::{
        Answer, MAX_ROWS, Request,
        audit::{AuditAnswer, AuditPage, AuditRequest, ListAudit},
    },
    audit::{AuditActor, AuditEntry},
    code::Code,
    problem::Problem,
    status::AuditKind,
    time::Timestamp,
};
use serde::Serialize;
use serde_json::Value;

use super::{
    Context,
    moments::{local, now, since},
    session::{Session, ask},
    table::Table,
};

/// Show who did what in the org, newest first
///
/// Without --kind or --all: everything that people decided. Jobs, how their attempts ended, and the coming and going of machines
/// are in the log too, and shown when asked for.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  compute-share org audit --since 7d\n  compute-share org audit --actor alice --kind member\n  \
                  compute-share org audit export lab.jsonl\n  compute-share org audit verify lab.jsonl"
)]
pub(super) struct Audit {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Export(proof::Export),
    Verify(proof::Verify),
}

#[derive(Debug, Args)]
struct List {
    /// Only what is not older: a span, a day or a moment
    #[arg(long, value_name = "7d|2026-11-01")]
    since: Option<String>,
    /// Only what this member, machine or `system` did
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Only this kind; more than one with commas
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kind: Vec<AuditKind>,
    /// Every kind
    #[arg(long, conflicts_with = "kind")]
    all: bool,
    /// Most entries
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
}

impl Audit {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        match self.verb {
            None => self.list.run(context).await,
            Some(Verb::Export(export)) => export.run(context).await,
            Some(Verb::Verify(verify)) => verify.run(context).await,
        }
    }
}

/// An entry with what is kept of it as JSON and not as text.
#[derive(Serialize)]
struct Shown<'a> {
    number: u64,
    at: Timestamp,
    actor: &'a AuditActor,
    kind: AuditKind,
    event: &'a str,
    subject: Option<&'a str>,
    change: Option<&'a str>,
    entry: Value,
}

impl List {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let since = self.since.map(|text| since(&text, now())).transpose()?;
        let session = context.session().await?;
        let list = ListAudit {
            org: session.org,
            kinds: if self.all {
                AuditKind::ALL.to_vec()
            } else {
                self.kind
            },
            actor: self.actor,
            since,
            before: None,
            limit: 0,
        };
        let entries = fetch(&session, list, self.limit).await?;
        session.end().await;
        let shown = entries.iter().map(shown).collect::<Result<Vec<_>, _>>()?;
        context.output.show(
            &shown,
            |shown| shown.iter().map(|one| one.number.to_string()).collect(),
            |_| to_table(&entries),
        )
    }
}

/// Fetches pages until there are enough entries.
async fn fetch(
    session: &Session,
    mut list: ListAudit,
    most: u32,
) -> Result<Vec<AuditEntry>, Problem> {
    let mut entries: Vec<AuditEntry> = Vec::new();
    let enough = usize::try_from(most).unwrap_or(usize::MAX);
    while entries.len() < enough {
        let missing = u32::try_from(enough - entries.len()).unwrap_or(MAX_ROWS);
        list.limit = missing.min(MAX_ROWS);
        let request = Request::Audit(AuditRequest::List(list.clone()));
        let page = ask!(session, request, Answer::Audit(AuditAnswer::Page(page)) => page)?;
        let AuditPage {
            entries: more,
            before,
        } = page;
        entries.extend(more);
        match before {
            Some(number) if list.before.is_none_or(|last| number < last) => {
                list.before = Some(number);
            }
            _ => break,
        }
    }
    Ok(entries)
}

fn shown(entry: &AuditEntry) -> Result<Shown<'_>, Problem> {
    let kept = serde_json::from_str(&entry.json).map_err(|error| {
        let what = format!("entry {} cannot be shown", entry.number);
        Problem::new(Code::Protocol, what, error.to_string())
    })?;
    Ok(Shown {
        number: entry.number,
        at: entry.at,
        actor: &entry.actor,
        kind: entry.kind,
        event: &entry.event,
        subject: entry.subject.as_deref(),
        change: entry.change.as_deref(),
        entry: kept,
    })
}

fn to_table(entries: &[AuditEntry]) -> String {
    let mut table = Table::new(&["WHEN", "WHO", "WHAT", "SUBJECT", "CHANGE"]);
    for entry in entries {
        table.row([
            local(entry.at),
            entry.actor.shown(),
            entry.event.replace('_', " "),
            entry.subject.clone().unwrap_or_default(),
            entry.change.clone().unwrap_or_default(),
        ]);
    }
    table
        .without_empty_columns()
        .to_text("The log has nothing of that.")
}
